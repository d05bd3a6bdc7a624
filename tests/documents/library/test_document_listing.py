from __future__ import annotations

import random
from collections.abc import Callable
from operator import attrgetter
from typing import Any, get_args

import pytest

from kvproxy.core import Caller, DocumentRef, Visibility
from kvproxy.documents.library import key_changes, listed_rows
from kvproxy.documents.library.document import Document, TokenizedDocument
from kvproxy.documents.library.document_listing import DocumentListing, ListingQuery
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.listed_rows import ListingOrder
from kvproxy.documents.library.recorded_reads import RecordedReads
from tests.documents.library.granted_rights import PlannedRights
from tests.documents.library.read_counts import ReadCounts

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
    found = DocumentListing(library, ReadCounts(READS)).find(caller, query)
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
    listing = DocumentListing(library, ReadCounts(READS))
    mine, others = (listing.find(caller, ListingQuery(by="reads")) for caller in (BOB, ALICE))
    assert (mine.visible, others.visible) == (4, 3)
    assert all(one.document.id != "own" for one in others.documents)
    assert listing.find(ALICE, ListingQuery("own")).found == 0
    library.add(known("a", 99, BOB, "private"))
    found = listing.find(BOB, ListingQuery("a", by="reads")).documents
    assert [(one.document.owner_scope, one.document.id) for one in found] == [("tenant:bob", "a")], (
        "its own counts"
    )
    [public] = listing.find(ALICE, ListingQuery("a", by="reads")).documents
    assert public.document.owner_scope == "tenant:alice"


def test_filters(library: Library) -> None:
    assert ids(library, BOB, ListingQuery("dEEP")) == ["c/Deep"]
    assert ids(library, BOB, ListingQuery(visibility="public")) == ["a", "b", "c/Deep"]
    assert ids(library, BOB, ListingQuery(visibility="private")) == ["own"]
    assert ids(library, BOB, ListingQuery(visibility="granted")) == []
    assert ids(library, BOB, ListingQuery(own=True)) == ["own"]
    assert ids(library, ALICE, ListingQuery(own=True, by="tokens")) == ["a", "c/Deep", "b"]


def test_a_list_follows_what_changes_and_looks_at_all_again_where_too_much_has(library: Library) -> None:
    listing = DocumentListing(library, ReadCounts())
    assert listing.find(ALICE, ListingQuery(by="tokens")).visible == 3
    library.add(known("a", 77, version=2))
    library.add(known("new", 1))
    library.remove(DocumentRef("b"))
    found = listing.find(ALICE, ListingQuery(by="tokens")).documents
    assert [(one.document.id, one.document.version) for one in found] == [("new", 1), ("c/Deep", 1), ("a", 2)]
    for number in range(200):
        library.add(known("many", number % 7))
    library.add(known("last", 5))
    found = listing.find(ALICE, ListingQuery("las")).documents
    assert [one.document.id for one in found] == ["last"]
    assert listing.find(ALICE, ListingQuery("MANY")).found == 1


def expected(
    library: Library, reads: ReadCounts, caller: Caller, query: ListingQuery
) -> tuple[list[str], int, int]:
    """Return what a list shows, by looking at every document."""
    rows = [
        listed_rows.ListedRow(newest, reads.of(newest.document.ref))
        for newest in (library.versions(id, caller)[-1] for id in library.ids(caller))
    ]
    found = [
        row
        for row in rows
        if query.search.lower() in row.low
        and query.visibility in (None, row.known.document.visibility)
        and (not query.own or row.known.document.owner_scope == caller.scope)
    ]
    found.sort(key=attrgetter(query.by, "id"), reverse=query.descending)
    shown = found[query.start : query.start + query.most]
    return [row.known.document.text for row in shown], len(found), len(rows)


def change(draw: random.Random, library: Library, reads: ReadCounts, rights: PlannedRights) -> None:
    """Publish, delete, read or grant something."""
    number, owner = draw.randrange(40), draw.choice((ALICE, BOB))
    id, visibility = f"{draw.choice('abC')}{number}", draw.choice(get_args(Visibility))
    one = known(id, draw.randrange(5), owner, visibility, draw.randrange(1, 3))
    others = [k for k in library if k.document.id == id and k.document.owner_scope != owner.scope]
    kind = draw.random()
    if kind < 0.5 and (visibility == "private" or not others):
        library.add(one)
    elif kind < 0.7:
        library.remove(DocumentRef(id, draw.choice((None, 1, 2)), one.document.ref.owner))
    elif kind < 0.95:
        reads.put(one.document.ref, RecordedReads(draw.randrange(3), draw.randrange(9), draw.randrange(4)))
    else:
        rights.grant(id, draw.choice(("alice", "bob", "everybody")))


@pytest.mark.parametrize("seed", range(6))
def test_a_list_is_what_sorting_all_documents_gives(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed_rows, "_FEW", (3, 64)[seed % 2])
    monkeypatch.setattr(listed_rows, "_PIECE", 16)
    monkeypatch.setattr(key_changes, "MOST", (20, 1000)[seed // 3])
    draw, rights, reads = random.Random(seed), PlannedRights(), ReadCounts()
    library = Library(rights)
    listing = DocumentListing(library, reads)
    for _ in range(60):
        for _ in range(draw.choice((0, 1, 5, 50))):
            change(draw, library, reads, rights)
        caller = draw.choice((ALICE, BOB, Caller("carol", "tenant:carol")))
        query = ListingQuery(
            search=draw.choice(("", "", "c", "1")),
            visibility=draw.choice((None, None, *get_args(Visibility))),
            own=draw.random() < 0.2,
            by=draw.choice(get_args(ListingOrder)),
            descending=draw.random() < 0.5,
            start=draw.choice((0, 0, 3, 30)),
            most=draw.choice((1, 7, 100)),
        )
        found = listing.find(caller, query)
        shown = [one.document.text for one in found.documents]
        assert (shown, found.found, found.visible) == expected(library, reads, caller, query), query


def test_a_part_of_a_long_list_touches_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    library, reads = Library(), ReadCounts()
    for number in range(5000):
        library.add(
            known(f"d{number}", number % 100, *((BOB, "private") if number % 3 else (ALICE, "public")))
        )
    listing, touched = DocumentListing(library, reads), 0

    def counted(key: Callable[[listed_rows.ListedRow], Any]) -> Callable[[listed_rows.ListedRow], Any]:
        def count(row: listed_rows.ListedRow) -> Any:
            nonlocal touched
            touched += 1
            return key(row)

        return count

    for by, key in listed_rows.KEYS.items():
        monkeypatch.setitem(listed_rows.KEYS, by, counted(key))
    listing.prepare()
    assert reads.looked == 5000
    touched, reads.looked = 0, 0
    reads.put(DocumentRef("d9", 1), RecordedReads(7, 9, 90))
    [first] = listing.find(BOB, ListingQuery(by="reads", descending=True, most=1)).documents
    assert first.document.id == "d9" and reads.looked == 1
    for start in (0, 2_500, 4_990):
        found = listing.find(BOB, ListingQuery(by="tokens", start=start))
        assert found.found == 5000
    assert touched < 3_000, "some hundred for each part"
