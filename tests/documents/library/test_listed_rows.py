from __future__ import annotations

import random
from operator import attrgetter

from kvproxy.documents.library.document import Document, TokenizedDocument
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.listed_rows import KEYS, ListedRow, RowGroup, rows_between, sorted_in_pieces
from kvproxy.documents.library.recorded_reads import RecordedReads


def row(number: int, tokens: int, owner: str = "tenant:a") -> ListedRow:
    document = Document(f"d{number:05}", 1, "text", "e", "public", owner, 0)
    return ListedRow(
        KnownDocument(document, TokenizedDocument("", "", (0,) * tokens, (), 0, 0, 0), ()), RecordedReads()
    )


def test_sorting_in_pieces_is_sorting() -> None:
    draw = random.Random(0)
    rows = [row(number, draw.choice((0, 0, 0, 1, 7, draw.randrange(50)))) for number in range(9_000)]
    draw.shuffle(rows)
    for by in ("id", "tokens", "reads"):
        assert sorted_in_pieces(rows, KEYS[by]) == sorted(rows, key=KEYS[by])
        assert sorted_in_pieces(rows, attrgetter(by)) == sorted(rows, key=attrgetter(by)), "a stable sort"
    assert sorted_in_pieces([], KEYS["id"]) == []


def test_a_group_follows_changes_one_by_one_and_many_at_once() -> None:
    group = RowGroup()
    group.change([row(number, number % 7) for number in range(300)])
    before, ids = group.order("tokens"), group.changes
    group.change([row(5, 9), row(900, 0)], ["d00007"])
    assert group.order("tokens") is before, "changed in its place"
    ids, before_ids = group.changes, ids
    assert ids != before_ids
    assert list(before) == sorted(group.rows.values(), key=KEYS["tokens"]) and len(before) == 300
    group.change([row(5, 3)])
    assert group.changes == ids, "the same ids"
    group.change([row(number, 1) for number in range(200)])
    assert group.order("tokens") is not before
    assert list(group.order("tokens")) == sorted(group.rows.values(), key=KEYS["tokens"])


def test_parts_of_several_orders_leave_out_what_is_hidden() -> None:
    few, many = [row(number, 0) for number in range(0, 60, 20)], [row(number, 0) for number in range(1, 400)]
    hidden = many[100:180]
    whole = sorted([*few, *(one for one in many if one not in hidden)], key=KEYS["id"])
    for start, end in ((0, 5), (95, 130), (300, 322), (0, 400)):
        assert rows_between([few, many], [[], hidden], "id", start, end) == whole[start:end]


def test_a_search_finds_each_id_once_whatever_is_sought() -> None:
    group = RowGroup()
    group.change([row(number, number % 7) for number in range(300)])
    for sought in ("d", "00", "d00123", "9", "", "no", "0\nd", "\n"):
        for by in ("id", "tokens"):
            having = [one for one in group.order(by) if sought in one.low]
            assert list(group.having(sought, by)) == having
    group.change([row(4_123, 2)], ["d00123"])
    assert [one.id for one in group.having("123", "id")] == ["d04123"]
    assert list(RowGroup().having("d", "id")) == []


def test_rows_of_one_owner_are_looked_for_only_where_there_are_others() -> None:
    group = RowGroup()
    group.change([row(1, 1), row(2, 1)])
    rows = group.order("id")
    assert group.of_owner("tenant:a", rows) is rows and list(group.of_owner("tenant:b", rows)) == []
    group.change([row(1, 1, "tenant:b")])
    assert [one.id for one in group.of_owner("tenant:b", group.order("id"))] == ["d00001"]
    group.change([], ["d00002"])
    assert dict(group.owners) == {"tenant:b": 1}
