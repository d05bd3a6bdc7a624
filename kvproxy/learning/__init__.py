"""Learning: texts that nobody published and many send are kept as their tenant's own after the second reader.

Read ``text_learner`` first. ``opening_segments`` cuts the opening of a prompt where it may end, ``frequency_sketch``
counts openings in bounded memory, ``tenant_sketches`` has a sketch for each tenant, ``learned_texts`` publishes what
was learned, as private documents, and measures what they save.
"""
