"""Published documents: from texts to tokens, and from a request to the exact prompt with its documents.

Read ``prompts/compose.py`` first: the pipeline calls its ``Composer``, which renders the chat template, finds known
documents in ``library``, and joins their tokens to the rest with ``tokens``. ``prepared`` tokenises a text for
:mod:`kvproxy.publishing`, ``library.registry`` keeps the published versions on disk, and ``matching`` decides hit or
miss. Nothing here computes or stores KV.
"""
