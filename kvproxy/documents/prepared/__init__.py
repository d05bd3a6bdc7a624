"""Prepared documents: the tokens of a text under every framing, computed once and kept for the next start.

Read ``preparation`` first: the publisher calls it, and it calls the composer for each framing and spelling.
``prepared_texts`` is its cache on disk, which only a restart reads.
"""
