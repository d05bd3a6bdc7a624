"""Granted documents are found by those who were let in; for all others no index holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kvproxy.core import GRANTED, Caller, DocumentRef, documents_scope, granted_scope
from kvproxy.documents.library import granted_documents
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.text_prefixes import TextPrefixes
from kvproxy.errors import DocumentNotFound, PermissionDenied
from tests.documents.library.granted_rights import PlannedRights
from tests.documents.library.test_library import ALICE, BOB, front, known

CAROL = Caller("carol", "tenant:c")
TEXT = "What the house sells is written here. "


@pytest.fixture
def rights() -> PlannedRights:
    return PlannedRights()


@pytest.fixture
def library(rights: PlannedRights) -> Library:
    library = Library(rights)
    library.add(known("manual", TEXT, 1, visibility="granted"))
    library.add(known("manual", TEXT + "More.", 2, visibility="granted"))
    return library


def absent(library: Library, name: DocumentRef, caller: Caller) -> str:
    with pytest.raises(DocumentNotFound) as caught:
        library.resolve(name, caller)
    return str(caught.value.body())


def test_without_a_grant_it_is_as_one_that_does_not_exist(library: Library) -> None:
    empty = Library()
    for name in (DocumentRef("manual"), DocumentRef("manual", 1), DocumentRef("manual", 9)):
        assert absent(library, name, BOB) == absent(empty, name, BOB)
    assert library.versions("manual", BOB) == [] and library.ids(BOB) == []
    assert front(library, TEXT + "More. Why?", BOB) is None
    assert len(library) == 2 and [k.document.version for k in library] == [1, 2]


def test_its_publisher_reads_it_without_a_grant(library: Library) -> None:
    match = library.named(DocumentRef("manual"), ALICE)
    assert (str(match.known.document.ref), match.grant, match.confined) == ("manual@2", None, False)
    assert front(library, TEXT + "More. Why?", ALICE) == "manual@2"
    assert library.ids(ALICE) == ["manual"] and library.owner("manual", granted=True) == ALICE.scope
    assert library.owner("manual") is None


def test_a_grant_lets_one_reader_in_by_reference_and_by_text(library: Library, rights: PlannedRights) -> None:
    rights.grant("manual", "bob")
    match = library.named(DocumentRef("manual", 1), BOB)
    assert (match.grant, match.by_reference, match.confined) == ("grant-manual-bob", True, True)
    found = library.find_at_front(TEXT + "More. Why?", BOB)
    assert found is not None and str(found.known.document.ref) == "manual@2"
    assert (found.grant, found.by_reference, found.confined) == ("grant-manual-bob", False, False)
    assert front(library, TEXT, CAROL) is None and absent(library, DocumentRef("manual"), CAROL)


def test_a_grant_for_one_version_shows_that_one_alone(library: Library, rights: PlannedRights) -> None:
    rights.grant("manual", "bob", version=1)
    assert library.resolve(DocumentRef("manual"), BOB).document.version == 1
    assert [k.document.version for k in library.versions("manual", BOB)] == [1]
    absent(library, DocumentRef("manual", 2), BOB)
    assert front(library, TEXT + "More. Why?", BOB) == "manual@1", "the longest that it may use"


def test_a_grant_for_everybody_lets_everybody_in(library: Library, rights: PlannedRights) -> None:
    rights.grant("manual", "everybody")
    for reader in (BOB, CAROL):
        assert library.resolve(DocumentRef("manual"), reader).document.version == 2
        assert front(library, TEXT + "More. Why?", reader) == "manual@2" and library.ids(reader) == ["manual"]
        shared, own = library._granted._consulted(reader)
        assert (len(shared), len(own)) == (2, 0), "in memory once, and not for each reader"


def test_a_grant_that_ended_is_refused_with_its_reason_at_the_next_request(
    library: Library, rights: PlannedRights
) -> None:
    rights.grant("manual", "bob")
    assert front(library, TEXT, BOB) == "manual@1"
    rights.end("manual", "bob", "your grant was revoked.")
    with pytest.raises(PermissionDenied, match=r"manual@1.*your grant was revoked"):
        library.resolve(DocumentRef("manual", 1), BOB)
    assert front(library, TEXT, BOB) is None, "though its index was made before"
    absent(library, DocumentRef("manual"), CAROL)
    absent(library, DocumentRef("manual", 3), BOB)


def test_text_senders_use_its_pages_where_the_publisher_lets_them(
    library: Library, rights: PlannedRights
) -> None:
    rights.discount("manual")
    found = library.find_at_front(TEXT + "Why?", CAROL)
    assert found is not None and (found.grant, found.by_reference) == (None, False)
    absent(library, DocumentRef("manual"), CAROL)
    rights.discount("manual", on=False)
    assert front(library, TEXT + "Why?", CAROL) is None


def test_no_index_that_is_consulted_holds_a_text_that_the_caller_may_not_find(
    library: Library, rights: PlannedRights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a lookup follows from the keys that it is compared with: these are the same for one who may not
    find a document as in a library without it."""
    compared: list[list[str]] = []
    starting = TextPrefixes.starting

    def spy(index: TextPrefixes[Any], text: str, at: int = 0) -> Iterator[tuple[Any, ...]]:
        compared.append(list(index))
        return starting(index, text, at)

    monkeypatch.setattr(TextPrefixes, "starting", spy)
    rights.grant("other", "carol")
    without = Library(rights)
    for each in (library, without):
        each.add(known("other", "Another text.", 1, BOB, visibility="granted"))
        assert each.find_at_front(TEXT + "Why?", CAROL) is None
    assert len(compared) == 4 and compared[:2] == compared[2:] == [[], ["Another text."]]


def test_an_index_is_made_once_for_each_reader_and_state(
    library: Library, rights: PlannedRights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(granted_documents, "READERS", 2)
    front(library, TEXT, BOB)
    assert rights.asked == [], "nothing is asked about documents that no grant names"
    rights.grant("manual", "bob", version=1)
    assert front(library, TEXT, BOB) == "manual@1"
    before = len(rights.asked)
    front(library, "Another text.", BOB)
    assert len(rights.asked) == before, "the caller's index is kept"
    rights.grant("manual", "bob")
    assert front(library, TEXT, BOB) == "manual@1"
    library.remove(DocumentRef("manual", 1, GRANTED))
    assert front(library, TEXT, BOB) is None and len(library) == 1
    for reader in (CAROL, BOB, CAROL):  # with the one for everybody there are more than are kept
        assert front(library, TEXT + "More.", reader) == ("manual@2" if reader is BOB else None)


def test_an_index_is_brought_up_to_date_by_what_changed(library: Library, rights: PlannedRights) -> None:
    rights.grant("manual", "bob")
    texts = library._granted._consulted(BOB)[1]
    assert len(texts) == 2
    for number in range(3, 40):
        library.add(known("manual", f"{TEXT}{number}", number, visibility="granted"))
        library.add(known("other", f"{TEXT}{number} of another.", number, visibility="granted"))
    rights.asked.clear()
    assert front(library, f"{TEXT}39, why?", BOB) == "manual@39"
    assert {id for id, _ in rights.asked} == {"manual"}, "the reader has no grant for the other one"
    assert library._granted._consulted(BOB)[1] is texts and len(texts) == 39 and texts.check() == []
    library.add(known("manual", "Another text.", 39, visibility="granted"))
    assert front(library, "Another text.", BOB) == "manual@39"
    library.remove(DocumentRef("manual", 39, GRANTED))
    assert front(library, "Another text.", BOB) is None and len(texts) == 38 and texts.check() == []
    assert library.ids(BOB) == ["manual"] and library.ids(ALICE) == ["manual", "other"]


def test_an_own_document_comes_before_another_publishers(library: Library, rights: PlannedRights) -> None:
    rights.grant("manual", "bob")
    library.add(known("manual", "Bob's own.", 1, BOB, visibility="private"))
    assert library.resolve(DocumentRef("manual"), BOB).document.text == "Bob's own."
    assert library.resolve(DocumentRef("manual", 2), BOB).document.owner_scope == ALICE.scope
    library.add(known("copy", TEXT, 1, BOB, visibility="granted"))
    assert front(library, TEXT, BOB) == "copy@1"
    library.add(known("free", TEXT, 1, CAROL))
    assert front(library, TEXT, BOB) == "free@1", "public pages have no price of a publisher's"


def test_every_version_has_a_scope_of_its_own() -> None:
    scopes = {
        known(id, TEXT, version, owner, visibility="granted").document.scope
        for id in ("manual", "manual2")
        for version in (1, 2)
        for owner in (ALICE, BOB)
    }
    assert len(scopes) == 8 and granted_scope("manual", 1, ALICE.scope) in scopes
    assert documents_scope(ALICE.scope) not in scopes
    assert BOB.reading([*scopes, "public", None]).readable[2:-1] == tuple(BOB.reading(scopes).granted)


def test_only_other_publishers_documents_are_asked_about(library: Library, rights: PlannedRights) -> None:
    rights.grant("manual", "everybody")
    rights.asked.clear()
    assert library.granted_by_others(ALICE) == set() and rights.asked == []
    assert library.granted_by_others(BOB) == {"manual"}
    library.add(known("leaflet", "Another text.", 1, owner=BOB, visibility="granted"))
    rights.grant("leaflet", "alice")
    assert library.granted_by_others(ALICE) == {"leaflet"} and library.ids(ALICE) == ["leaflet", "manual"]
    assert library.granted_by_others(CAROL) == {"manual"}
