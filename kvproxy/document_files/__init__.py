"""Documents with their KV in one file: written by one host, checked and taken in by another.

Read ``file_sections`` first: the format. ``document_export`` writes it; ``file_reading`` reads it section by section
and believes no length in it; ``document_import`` takes a version in: signature, text, digests, then some pages computed
again (``page_sample`` chooses, ``staged_pages`` holds what no reader can find yet), then a publish like any other.
"""
