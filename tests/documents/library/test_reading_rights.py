"""Without a market a granted document is its publisher's alone."""

from __future__ import annotations

from kvproxy.documents.library.reading_rights import OwnersOnly, ReadingRights
from tests.documents.library.granted_rights import PlannedRights
from tests.documents.library.test_library import BOB, known


def test_without_a_market_nobody_else_is_let_in() -> None:
    rights: ReadingRights = OwnersOnly()
    document = known("manual", "Text.", visibility="granted").document
    assert not rights.right(document, BOB).allowed and rights.refusal(document, BOB) is None
    assert not rights.serves_texts(document) and rights.publisher(document.owner_scope) == ""
    assert rights.generation == OwnersOnly().generation


def test_planned_rights_are_rights() -> None:
    rights: ReadingRights = PlannedRights()
    assert not rights.right(known("manual", "Text.", visibility="granted").document, BOB).allowed
