"""`DocumentListing`: parts of the documents that a caller may see, searched and sorted, one for each id.

The documents of each owner are kept in order, and changed where the library and the counts of reads have: a part of a
list of 100,000 costs no walk over all of them, and a search one comparison each. It runs on a worker thread.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kvproxy.core import GRANTED, Caller, DocumentRef, Visibility
from kvproxy.documents.library.document_names import id_in, owner_in
from kvproxy.documents.library.key_changes import KeyChanges
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.listed_rows import KEYS, ListedRow, ListingOrder, RowGroup, rows_between
from kvproxy.documents.library.recorded_reads import RecordedReads


class ReadFigures(Protocol):
    """The counts of reads, read in any thread."""

    @property
    def changes(self) -> KeyChanges[DocumentRef]:
        """Tells of each version whose counts are others now."""

    def of(self, ref: DocumentRef) -> RecordedReads:
        """Return the counts of exactly this version."""


@dataclass(frozen=True, slots=True)
class ListingQuery:
    """The documents that are looked for, and the part of them that is shown."""

    search: str = ""
    """A part of the id, in upper or lower case."""
    visibility: Visibility | None = None
    own: bool = False
    """True: the caller's own alone."""
    by: ListingOrder = "id"
    descending: bool = False
    start: int = 0
    most: int = 50
    after: str | None = None
    """Only ids behind this one, whether or not it is there; for lists by id."""


@dataclass(frozen=True, slots=True)
class ListedDocuments:
    """One part of a list: for each id the version that the id alone means."""

    documents: tuple[KnownDocument, ...]
    found: int
    """Ids that the query finds."""
    visible: int
    """Ids that the caller may see."""


class DocumentListing:
    """Lists of one library. Safe in any thread; one list is made at a time.

    Example: ``await asyncio.to_thread(listing.find, caller, ListingQuery("hand", by="reads"))``
    """

    def __init__(self, library: Library, reads: ReadFigures) -> None:
        """Look at nothing yet."""
        self._library, self._reads = library, reads
        self._changed, self._read = library.changes.follow(), reads.changes.follow()
        self._groups: dict[str, RowGroup] = {}
        """By the owner in the name; granted documents by their publisher."""
        self._publishers: dict[str, str] = {}
        """The groups of granted documents, by their names."""
        self._twice: dict[tuple[str, ...], tuple[tuple[int, ...], frozenset[str]]] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Look at all documents, and put each owner's into every order, so that the first list need not."""
        with self._lock:
            self._follow()
            for group in self._groups.values():
                group.prepare()

    def find(self, caller: Caller, query: ListingQuery) -> ListedDocuments:
        """Return a part of the documents that ``caller`` may see.

        Example: ``listing.find(caller, ListingQuery("hand")).documents``
        """
        with self._lock:
            self._follow()
            names = [name for name in ("", caller.scope, _granted(caller.scope)) if name in self._groups]
            groups = [self._groups[name] for name in names]
            # Of several publishers, or with versions that a grant does not let in to: the library knows which counts.
            unsure = self._library.granted_by_others(caller) | self._in_several(names, groups)
            known = [versions[-1] for id in unsure if (versions := self._library.versions(id, caller))]
            sure = [self._row(one) for one in known]
            choice, key = _Choice(caller, query), KEYS[query.by]
            hidden: list[Sequence[ListedRow]] = [
                [g.rows[id] for id in unsure if id in g.rows] for g in groups
            ]
            visible = sum(len(g.rows) for g in groups) - sum(map(len, hidden)) + len(sure)
            orders = [*map(choice.of_group, groups), choice.of_rows(sorted(sure, key=key))]
            hidden = [choice.of_rows(sorted(rows, key=key)) for rows in hidden]
            found = sum(map(len, orders)) - sum(map(len, hidden))
            rows = _part(orders, hidden, query, found)
            return ListedDocuments(tuple(row.known for row in rows), found, visible)

    def _in_several(self, names: Sequence[str], groups: Sequence[RowGroup]) -> frozenset[str]:
        """Return the ids that two of the groups have: remembered until one of them has other ids."""
        if len(groups) < 2:
            return frozenset()
        state = tuple(group.changes for group in groups)
        before, twice = self._twice.get(tuple(names), ((), frozenset()))
        if before != state:
            several: set[str] = set()
            for at, group in enumerate(groups):
                for other in groups[at + 1 :]:
                    fewer, more = sorted((group.rows, other.rows), key=len)
                    several.update(id for id in fewer if id in more)
            twice = frozenset(several)
            if len(self._twice) >= _CALLERS:
                self._twice.clear()
            self._twice[tuple(names)] = (state, twice)
        return twice

    def _follow(self) -> None:
        """Take up what has changed since the last time."""
        names, read = self._changed.take(), self._read.take()
        if names is None or read is None:
            self._groups, self._publishers, self._twice = {}, {}, {}
            names, read = set(self._library.all_names()), set()
        names.update(ref.name for ref in read)
        put: dict[str, list[ListedRow]] = {}
        taken: dict[str, list[str]] = {}
        for name in names:
            versions = self._library.of_name(name)
            group, before = self._group_of(name, versions)
            if before is not None and before != group:
                taken.setdefault(before, []).append(id_in(name))
            if versions:
                put.setdefault(group, []).append(self._row(versions[-1]))
            else:
                taken.setdefault(group, []).append(id_in(name))
        for group in {*put, *taken}:
            rows = self._groups.setdefault(group, RowGroup())
            rows.change(put.get(group, ()), taken.get(group, ()))
            if not rows.rows:
                del self._groups[group]

    def _group_of(self, name: str, versions: Sequence[KnownDocument]) -> tuple[str, str | None]:
        """Return the name of the group of a document, and of the one that it was in where that may be another."""
        owner = owner_in(name)
        if owner != GRANTED:
            return owner, None
        before = self._publishers.pop(name, None)
        if not versions:
            return before or _granted(""), before
        group = self._publishers[name] = _granted(versions[-1].document.owner_scope)
        return group, before

    def _row(self, known: KnownDocument) -> ListedRow:
        return ListedRow(known, self._reads.of(known.document.ref))


_CALLERS = 64
"""Callers whose ids in several groups are remembered."""


def _granted(owner: str) -> str:
    """Return the name of the group of a publisher's granted documents. No scope has a line end."""
    return f"{GRANTED}\n{owner}"


class _Choice:
    """The rows that a query is for, in their order."""

    def __init__(self, caller: Caller, query: ListingQuery) -> None:
        self._query, self._scope, self._sought = query, caller.scope, query.search.lower()

    def of_group(self, group: RowGroup) -> Sequence[ListedRow]:
        """Return those of a group, by its own means: its rows are very many."""
        query = self._query
        rows = group.having(self._sought, query.by) if self._sought else group.order(query.by)
        return self._rest(group.of_owner(self._scope, rows) if query.own else rows)

    def of_rows(self, rows: Sequence[ListedRow]) -> Sequence[ListedRow]:
        """Return those of a few rows."""
        rows = [row for row in rows if self._sought in row.low]
        return self._rest([row for row in rows if row.owner == self._scope] if self._query.own else rows)

    def _rest(self, rows: Sequence[ListedRow]) -> Sequence[ListedRow]:
        if self._query.after is not None:
            rows = rows[bisect_right(rows, self._query.after, key=KEYS["id"]) :]
        if (seen := self._query.visibility) is not None:
            rows = [row for row in rows if row.known.document.visibility == seen]
        return rows


def _part(
    orders: Sequence[Sequence[ListedRow]],
    hidden: Sequence[Sequence[ListedRow]],
    query: ListingQuery,
    found: int,
) -> list[ListedRow]:
    """Return the rows that are shown, in the order of the query."""
    start, end = query.start, min(found, query.start + query.most)
    if start >= end:
        return []
    if query.descending:
        return rows_between(orders, hidden, query.by, found - end, found - start)[::-1]
    return rows_between(orders, hidden, query.by, start, end)
