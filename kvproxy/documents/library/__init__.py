"""The published documents that this process knows, in memory and on disk.

Read ``document`` first for the values, then ``library``: ``Library`` resolves references and finds the documents that
a text starts with (``text_prefixes``), in every ``spelling``. ``registry`` keeps versions on disk with a digest for
each row (``registry_rows``) and survives damage (``registry_rescue``, ``registry_salvage``). ``document_info`` has
the views of the API. The publisher writes; the composer reads.
"""
