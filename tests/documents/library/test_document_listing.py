from __future__ import annotations

import pytest

from kvproxy.core import Caller, DocumentRef, Visibility
from kvproxy.documents.library.document import Document, TokenizedDocument
from kvproxy.documents.library.document_listing import DocumentListing, ListingOrder, ListingQuery
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.library_changes import MOST, LibraryChanges
from kvproxy.documents.library.recorded_reads import RecordedReads

ALICE, BOB = Caller("alice", "tenant:alice"), Caller("bob", "tenant:bob")


def known(
    id: str, tokens: int, owner: Caller = ALICE, visibility: Visibility = "public", version: int = 1
) -> KnownDocument:
    text = f"{id} {version} {owner.name}"
    document = Document(id, version, text, "e" * 64, visibility, owner.scope, created=1000 - tokens)
    return KnownDocument(document, TokenizedDocument(text, "k", tuple(range(tokens)), (), 0, 0, 0), ())


@pytest.fixture
def library() -> Library:
    library = Library()
    for one in (known("b", 30), known("a", 10), known("c/Deep", 20), known("own", 40, BOB, "private")):
        library.add(one)
    return library


READS = {
    DocumentRef("a", 1): RecordedReads(2, 50, 900),
    DocumentRef("b", 1): RecordedReads(5, 10, 100),
    DocumentRef("own", 1, "tenant:bob"): RecordedReads(9, 90, 9000),
}


def ids(library: Library, caller: Caller, query: ListingQuery) -> list[str]:
    found = DocumentListing(library).find(caller, query, READS)
    return [one.document.id for one in found.documents]


@pytest.mark.parametrize(
    ("by", "ascending"),
    [
        ("id", ["a", "b", "c/Deep", "own"]),
        ("tokens", ["a", "c/Deep", "b", "own"]),
        ("created", ["own", "b", "c/Deep", "a"]),
        ("reads", ["c/Deep", "a", "b", "own"]),
        ("last_read", ["c/Deep", "b", "a", "own"]),
        ("saved", ["c/Deep", "b", "a", "own"]),
    ],
)
def test_every_order_both_ways_and_in_parts(library: Library, by: ListingOrder, ascending: list[str]) -> None:
    assert ids(library, BOB, ListingQuery(by=by)) == ascending
    assert ids(library, BOB, ListingQuery(by=by, descending=True)) == ascending[::-1]
    pieces = [ids(library, BOB, ListingQuery(by=by, descending=True, start=at, most=3)) for at in (0, 3, 6)]
    assert [id for piece in pieces for id in piece] == ascending[::-1] and [
        len(piece) for piece in pieces
    ] == [3, 1, 0]


def test_private_documents_are_their_owners_alone_and_leave_no_trace_for_others(library: Library) -> None:
    listing = DocumentListing(library)
    mine, others = (listing.find(caller, ListingQuery(by="reads"), READS) for caller in (BOB, ALICE))
    assert (mine.visible, others.visible) == (4, 3)
    assert all(one.document.id != "own" for one in others.documents)
    assert listing.find(ALICE, ListingQuery("own"), READS).found == 0
    library.add(known("a", 99, BOB, "private"))
    found = listing.find(BOB, ListingQuery("a", by="reads"), READS).documents
    assert [(one.document.owner_scope, one.document.id) for one in found] == [("tenant:bob", "a")], (
        "its own counts"
    )
    [public] = listing.find(ALICE, ListingQuery("a", by="reads"), READS).documents
    assert public.document.owner_scope == "tenant:alice"


def test_filters(library: Library) -> None:
    assert ids(library, BOB, ListingQuery("dEEP")) == ["c/Deep"]
    assert ids(library, BOB, ListingQuery(visibility="public")) == ["a", "b", "c/Deep"]
    assert ids(library, BOB, ListingQuery(visibility="private")) == ["own"]
    assert ids(library, BOB, ListingQuery(visibility="granted")) == []
    assert ids(library, BOB, ListingQuery(own=True)) == ["own"]
    assert ids(library, ALICE, ListingQuery(own=True, by="tokens")) == ["a", "c/Deep", "b"]


def test_a_list_follows_what_changes_and_looks_at_all_again_where_too_much_has(library: Library) -> None:
    listing = DocumentListing(library)
    assert listing.find(ALICE, ListingQuery(by="tokens"), {}).visible == 3
    library.add(known("a", 77, version=2))
    library.add(known("new", 1))
    library.remove(DocumentRef("b"))
    found = listing.find(ALICE, ListingQuery(by="tokens"), {}).documents
    assert [(one.document.id, one.document.version) for one in found] == [("new", 1), ("c/Deep", 1), ("a", 2)]
    for number in range(MOST + 5):
        library.add(known("many", number % 7))
    library.add(known("last", 5))
    found = listing.find(ALICE, ListingQuery("las"), {}).documents
    assert [one.document.id for one in found] == ["last"]
    assert listing.find(ALICE, ListingQuery("MANY"), {}).found == 1


def test_changes_that_are_forgotten_are_said_to_be() -> None:
    changes = LibraryChanges()
    assert changes.since(0) == set()
    for number in range(MOST + 1):
        changes.note(f"d{number}")
    assert changes.since(0) is None
    assert changes.since(changes.count - 2) == {f"d{MOST - 1}", f"d{MOST}"}
