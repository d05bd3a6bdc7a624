"""`prepare_text`: a text and its prefixes as tokens, refused where it leaves no room for a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvproxy.documents.prepared.preparation import Preparation, Prepared
from kvproxy.errors import DocumentRejected

MARGIN = 256
"""Positions that a document must leave free for the question and the answer."""


def prepare_text(
    preparation: Preparation, encode: Callable[[str], Sequence[int]], limit: int, id: str, text: str
) -> Prepared:
    """Tokenise the text and its prefixes, of at most ``limit`` tokens. Safe in any thread. Raises DocumentRejected.

    Example:
        ``prepared = prepare_text(preparation, composer.encode, 32_512, "handbook", text)``
    """
    token_ids = encode(text)
    longest = len(token_ids)
    if longest <= limit:  # a far longer text is rejected without being cut
        prepared = preparation.prepare(text, limit, token_ids)
        longest = max([longest, *(len(p.token_ids) for p in prepared.prefixes)])
        if longest <= limit:
            return prepared
    raise DocumentRejected(
        f"'{id}' needs {longest} tokens; this model's context has {limit + MARGIN}, {MARGIN} of them "
        "kept free for question and answer. Publish it in parts.",
        param="text",
    )
