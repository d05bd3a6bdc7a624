"""`RowGroup`: one owner's documents in every order that was asked for, kept up to date; `rows_between` of several.

A change costs two searches in each order. The part of a list that is shown is found by its rank, in as many groups as
the caller may see, and no other row is touched.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import merge
from itertools import accumulate, count
from operator import attrgetter
from typing import Any, Literal

from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.recorded_reads import RecordedReads

ListingOrder = Literal["id", "tokens", "created", "reads", "last_read", "saved"]

READ_ORDERS: tuple[ListingOrder, ...] = ("reads", "last_read", "saved")
"""The orders by figures of reads."""

_PIECE = 2048
"""Rows that are sorted in one call: the interpreter's lock is held for as long, some 0.5 ms."""
_FEW = 64
_PART = 50
"""One row in so many may change, and _FEW, until all are sorted again instead."""
_MANY = 8
"""One row in so many may be found, until the others are passed over instead of sorting these."""


_CHANGES = count()


class ListedRow:
    """One id with the version that it means, and the figures that lists are sorted by. Replaced, never changed."""

    __slots__ = ("created", "id", "known", "last_read", "low", "owner", "reads", "saved", "tokens")

    def __init__(self, known: KnownDocument, reads: RecordedReads) -> None:
        """Take the figures as they are now."""
        self.known = known
        self.id, self.owner = known.document.id, known.document.owner_scope
        low = self.id.lower()
        self.low = self.id if low == self.id else low
        self.tokens = len(known.tokenized.token_ids)
        self.created = known.document.created
        self.reads, self.last_read, self.saved = reads.reads, reads.last_read, reads.saved_tokens


KEYS: Mapping[ListingOrder, Callable[[ListedRow], Any]] = {
    "id": attrgetter("id"),
    "tokens": attrgetter("tokens", "id"),
    "created": attrgetter("created", "id"),
    "reads": attrgetter("reads", "id"),
    "last_read": attrgetter("last_read", "id"),
    "saved": attrgetter("saved", "id"),
}
"""The sort key of each order. Rows of equal figures are in the order of their ids."""


class RowGroup:
    """The rows of one owner's documents, one for each id. Not safe in several threads at once."""

    __slots__ = ("_joined", "_orders", "_starts", "changes", "owners", "rows")

    def __init__(self) -> None:
        """Hold no row."""
        self.rows: dict[str, ListedRow] = {}
        self.changes = next(_CHANGES)
        """Another number after each change of the set of ids, and in each group."""
        self.owners = Counter[str]()
        """Rows by the publisher of their documents."""
        self._orders: dict[ListingOrder, list[ListedRow]] = {}
        self._joined: tuple[int, str] = (-1, "")
        """All ids in lower case, a line each, as of a number of changes; and the beginnings of the lines."""
        self._starts = array("Q")

    def order(self, by: ListingOrder) -> Sequence[ListedRow]:
        """Return all rows, smallest first: the group's own list, sorted when it is first asked for."""
        order = self._orders.get(by)
        if order is None:
            rows = [*self.rows.values()] if by == "id" else self.order("id")
            order = self._orders[by] = sorted_in_pieces(rows, attrgetter(by))
        return order

    def prepare(self) -> None:
        """Make every order and what searches look in, so that the first list need not."""
        for by in KEYS:
            self.order(by)
        self._lines()

    def having(self, sought: str, by: ListingOrder) -> Sequence[ListedRow]:
        """Return the rows whose ids have a part that is ``sought``, in lower case, smallest first: one search in all of
        them together.

        Example: ``group.having("hand", "reads")``
        """
        rows, found, at = self.order("id"), [], -1
        joined = self._lines()
        if "\n" not in sought:
            at = joined.find(sought)
        while at >= 0:
            place = bisect_right(self._starts, at) - 1
            found.append(rows[place])
            at = joined.find(sought, self._starts[place + 1])
        if by == "id":
            return found
        if len(found) > len(rows) // _MANY:
            return [row for row in self.order(by) if sought in row.low]
        return sorted_in_pieces(found, attrgetter(by))

    def of_owner(self, owner: str, rows: Sequence[ListedRow]) -> Sequence[ListedRow]:
        """Return those of the group's rows that are one publisher's; mostly all are, or none.

        Example: ``group.of_owner(caller.scope, group.order("id"))``
        """
        own = self.owners.get(owner, 0)
        if own in (0, len(self.rows)):
            return rows if own else ()
        return [row for row in rows if row.owner == owner]

    def _lines(self) -> str:
        changes, joined = self._joined
        if changes != self.changes:
            lows = [row.low for row in self.order("id")]
            joined = "\n".join(lows)
            self._starts = array("Q", accumulate((len(low) + 1 for low in lows), initial=0))
            self._joined = (self.changes, joined)
        return joined

    def change(self, put: Sequence[ListedRow], taken: Iterable[str] = ()) -> None:
        """Put rows into the place of those with their ids, and take ids away."""
        gone = [row for id in taken if (row := self.rows.pop(id, None)) is not None]
        many = len(put) + len(gone) > _FEW + len(self.rows) // _PART
        if many:
            self._orders.clear()
        before = [*gone, *(old for row in put if (old := self.rows.get(row.id)) is not None)]
        known = len(self.rows)
        self.owners.subtract(row.owner for row in before)
        self.owners.update(row.owner for row in put)
        self.rows.update((row.id, row) for row in put)
        if gone or len(self.rows) != known:
            self.changes = next(_CHANGES)
        for owner in {row.owner for row in before}:
            if not self.owners[owner]:
                del self.owners[owner]
        for by, order in self._orders.items():
            _replace(order, before, put, KEYS[by])


def sorted_in_pieces(rows: Sequence[ListedRow], key: Callable[[ListedRow], Any]) -> list[ListedRow]:
    """Return the rows sorted; those of equal keys keep their order. One call of ``sorted`` would hold the interpreter's
    lock, and so the event loop, for as long as all rows take.

    Example: ``sorted_in_pieces(rows, attrgetter("tokens"))``
    """
    if len(rows) <= _PIECE:
        return sorted(rows, key=key)
    pieces = len(rows) // (_PIECE // 4)
    sample = sorted(key(row) for row in rows[:: max(1, len(rows) // (pieces * 4))])
    cuts = [*dict.fromkeys(sample[::4])]
    parts: list[list[ListedRow]] = [[] for _ in range(len(cuts) + 1)]
    for row in rows:
        parts[bisect_right(cuts, key(row))].append(row)
    ordered: list[ListedRow] = []
    for part in parts:
        part.sort(key=key)
        ordered += part
    return ordered


def rows_between(
    orders: Sequence[Sequence[ListedRow]],
    hidden: Sequence[Sequence[ListedRow]],
    by: ListingOrder,
    start: int,
    end: int,
) -> list[ListedRow]:
    """Return the rows of ranks ``start`` to ``end`` of several orders together. ``hidden``: rows of the orders that do
    not count, in the same order; each is left out of every one of them.

    Example: ``rows_between([public.order("id"), own.order("id")], [], "id", 50, 100)``
    """
    if not any(hidden) and sum(1 for order in orders if order) <= 1:
        return [row for order in orders for row in order[start:end]]
    key = KEYS[by]
    left_out = {id(row) for rows in hidden for row in rows}

    def rank(row: ListedRow) -> int:
        at = key(row)
        counted = sum(bisect_left(order, at, key=key) for order in orders)
        return counted - sum(bisect_left(rows, at, key=key) for rows in hidden)

    tails: list[Sequence[ListedRow]] = []
    for order in orders:
        first = bisect_left(order, start, key=rank)
        tails.append(order[first : first + end - start + len(left_out)])
    shown = (row for row in merge(*tails, key=key) if id(row) not in left_out)
    return [row for row, _ in zip(shown, range(end - start), strict=False)]


def _replace(
    order: list[ListedRow],
    before: Collection[ListedRow],
    after: Collection[ListedRow],
    key: Callable[[ListedRow], Any],
) -> None:
    for row in before:
        del order[bisect_left(order, key(row), key=key)]
    for row in after:
        at = key(row)
        order.insert(bisect_left(order, at, key=key), row)
