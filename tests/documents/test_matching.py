from __future__ import annotations

import pytest

from kvproxy.core import DocumentRef, Found, Hit, Lookup, Miss, MissReason, NotFound, Prompt, Span
from kvproxy.documents.matching import decide

REF = DocumentRef("handbook", 3)
TOKENS = tuple(range(1000))
BARE = Prompt(TOKENS)
PUBLISHED = Prompt(TOKENS, (Span(REF, 3, 800, "public"), Span(DocumentRef("other", 1), 850, 900)))
CONFINED = Prompt(TOKENS, (Span(REF, 3, 800, "public", quarantined=True),), marks=(40,))
SHORT = Prompt(TOKENS, (Span(REF, 3, 100, "public"),))
MARKED = Prompt(TOKENS, marks=(40, 500))
MARKED_FOREIGN = Prompt(TOKENS, (Span(REF, 300, 800),), marks=(40,))
MARKED_BEHIND = Prompt(TOKENS, (Span(REF, 3, 100),), marks=(120,))
FOREIGN = Prompt(TOKENS, (Span(REF, 300, 800),))


@pytest.mark.parametrize(
    ("prompt", "lookup", "expected"),
    [
        (BARE, NotFound(seen=False), Miss(MissReason.NO_DOCUMENT)),
        (BARE, NotFound(seen=True), Miss(MissReason.NO_DOCUMENT)),
        (BARE, Found(0, 0), Miss(MissReason.NO_DOCUMENT)),
        (BARE, Found(255, 0), Miss(MissReason.NO_DOCUMENT)),
        (BARE, Found(256, 0), Hit(256, None)),
        (BARE, Found(512, 0), Hit(512, None)),
        (PUBLISHED, NotFound(seen=False), Miss(MissReason.NOT_RESIDENT, REF)),
        (CONFINED, Found(900, 0), Miss(MissReason.QUARANTINED, REF)),
        (CONFINED, NotFound(seen=True), Miss(MissReason.QUARANTINED, REF)),
        (PUBLISHED, Found(800, 800), Hit(800, REF)),
        (PUBLISHED, Found(259, 0), Hit(259, REF)),
        (PUBLISHED, Found(258, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (PUBLISHED, Found(3, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (FOREIGN, NotFound(seen=False), Miss(MissReason.NEW_PREAMBLE, REF)),
        (FOREIGN, NotFound(seen=True), Miss(MissReason.NOT_RESIDENT, REF)),
        (FOREIGN, Found(300, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (FOREIGN, Found(310, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (SHORT, Found(99, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (SHORT, Found(100, 0), Hit(100, REF)),
        (FOREIGN, Found(999, 0), Hit(999, REF)),
        (MARKED, NotFound(seen=True), Miss(MissReason.NO_DOCUMENT)),
        (MARKED, Found(39, 0), Miss(MissReason.NO_DOCUMENT)),
        (MARKED, Found(40, 0), Hit(40, None)),
        (MARKED, Found(300, 0), Hit(300, None)),
        (MARKED_FOREIGN, Found(39, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (MARKED_FOREIGN, Found(310, 0), Hit(310, None)),
        (MARKED_FOREIGN, Found(556, 0), Hit(556, REF)),
        (MARKED_BEHIND, Found(99, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (MARKED_BEHIND, Found(100, 0), Hit(100, REF)),
        (Prompt(TOKENS, marks=(0,)), Found(0, 0), Miss(MissReason.NO_DOCUMENT)),
    ],
)
def test_decisions(prompt: Prompt, lookup: Lookup, expected: Hit | Miss) -> None:
    assert decide(prompt, lookup) == expected
