from __future__ import annotations

import pytest

from kvproxy.core import DocumentRef, Span
from kvproxy.core.block_rounding import rounded_tokens, whole_blocks

REF = DocumentRef("handbook", 3)
BOOK = Span(REF, 3, 1003)
NEXT = Span(DocumentRef("annex", 1), 1010, 2000)


@pytest.mark.parametrize(
    ("position", "block", "end"),
    [(1003, 128, 896), (896, 128, 896), (127, 128, 0), (0, 128, 0), (1003, 0, 1003)],
)
def test_whole_blocks(position: int, block: int, end: int) -> None:
    assert whole_blocks(position, block) == end


@pytest.mark.parametrize(
    ("cached", "block", "rounded"),
    [
        (896, 128, 107),
        (768, 128, 0),
        (1003, 128, 0),
        (1024, 128, 0),
        (1000, 8, 3),
        (1920, 128, 80),
        (896, 0, 0),
        (0, 128, 0),
        (5000, 128, 0),
    ],
    ids=[
        "the rest of the document",
        "a whole block is missing too",
        "all of it",
        "behind it",
        "a small block",
        "of the second document",
        "no blocks",
        "nothing",
        "beyond the prompt",
    ],
)
def test_rounded_tokens(cached: int, block: int, rounded: int) -> None:
    assert rounded_tokens((BOOK, NEXT), cached, block) == rounded
