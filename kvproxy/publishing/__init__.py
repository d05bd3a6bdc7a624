"""The parts of publishing, which :class:`kvproxy.publish.Publisher` owns and calls.

Read ``published_pages`` first: it keeps and drops the pages of a document's prefixes through ``LocalBackend``.
``holdings`` records which pages each version has, ``document_pins`` pins versions in memory, ``document_locks`` gives
each document one writer at a time, ``document_views`` makes the API's views, and ``restoration`` brings documents
back after a restart. ``kvproxy.exactness.quarantine`` writes the same holdings under the same locks.
"""
