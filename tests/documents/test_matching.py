from __future__ import annotations

import pytest

from kvproxy.core import DocumentRef, Hit, Miss, MissReason, NoPages, PageLookup, PagesFound, Prompt, Span
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
        (BARE, NoPages(evicted=False), Miss(MissReason.NO_DOCUMENT)),
        (BARE, NoPages(evicted=True), Miss(MissReason.NO_DOCUMENT)),
        (BARE, PagesFound(0, 0), Miss(MissReason.NO_DOCUMENT)),
        (BARE, PagesFound(255, 0), Miss(MissReason.NO_DOCUMENT)),
        (BARE, PagesFound(256, 0), Hit(256, None)),
        (BARE, PagesFound(512, 0), Hit(512, None)),
        (PUBLISHED, NoPages(evicted=False), Miss(MissReason.NOT_RESIDENT, REF)),
        (CONFINED, PagesFound(900, 0), Miss(MissReason.QUARANTINED, REF)),
        (CONFINED, NoPages(evicted=True), Miss(MissReason.QUARANTINED, REF)),
        (PUBLISHED, PagesFound(800, 800), Hit(800, REF)),
        (PUBLISHED, PagesFound(259, 0), Hit(259, REF)),
        (PUBLISHED, PagesFound(258, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (PUBLISHED, PagesFound(3, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (FOREIGN, NoPages(evicted=False), Miss(MissReason.NEW_PREAMBLE, REF)),
        (FOREIGN, NoPages(evicted=True), Miss(MissReason.NOT_RESIDENT, REF)),
        (FOREIGN, PagesFound(300, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (FOREIGN, PagesFound(310, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (SHORT, PagesFound(99, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (SHORT, PagesFound(100, 0), Hit(100, REF)),
        (FOREIGN, PagesFound(999, 0), Hit(999, REF)),
        (MARKED, NoPages(evicted=True), Miss(MissReason.NO_DOCUMENT)),
        (MARKED, PagesFound(39, 0), Miss(MissReason.NO_DOCUMENT)),
        (MARKED, PagesFound(40, 0), Hit(40, None)),
        (MARKED, PagesFound(300, 0), Hit(300, None)),
        (MARKED_FOREIGN, PagesFound(39, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (MARKED_FOREIGN, PagesFound(310, 0), Hit(310, None)),
        (MARKED_FOREIGN, PagesFound(556, 0), Hit(556, REF)),
        (MARKED_BEHIND, PagesFound(99, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (MARKED_BEHIND, PagesFound(100, 0), Hit(100, REF)),
        (Prompt(TOKENS, marks=(0,)), PagesFound(0, 0), Miss(MissReason.NO_DOCUMENT)),
    ],
)
def test_decisions(prompt: Prompt, lookup: PageLookup, expected: Hit | Miss) -> None:
    assert decide(prompt, lookup) == expected
