"""`within_budget`: the retrieved documents that fit into a number of tokens. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.documents import Document

from langchain_kvproxy.documents import KVPROXY_TOKENS

_CHARACTERS_PER_TOKEN = 2
"""Taken for granted when the proxy cannot count: few, so that the budget holds for most languages."""
_BETWEEN = 8
"""Tokens that a prompt may add to each document: a line feed, and the line that closes it."""


def within_budget(
    documents: Iterable[tuple[Document, Document]], max_tokens: int
) -> list[tuple[Document, Document]]:
    """Choose pairs of a document and its copy with metadata, in order; one that no longer fits is left out."""
    chosen: list[tuple[Document, Document]] = []
    left = max_tokens
    for document, copy in documents:
        cost = _tokens(copy) + _BETWEEN
        if cost <= left:
            chosen.append((document, copy))
            left -= cost
    return chosen


def _tokens(document: Document) -> int:
    """Return the proxy's count, else a guess that is rather too high than too low."""
    tokens = document.metadata.get(KVPROXY_TOKENS)
    return tokens if isinstance(tokens, int) else -(-len(document.page_content) // _CHARACTERS_PER_TOKEN)
