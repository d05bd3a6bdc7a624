"""`DocumentListing`: parts of the documents that a caller may see, searched and sorted, one for each id.

The documents of one owner are kept in order between two lists, and changed where the library has: a list of 100,000
costs no walk over all of them. It runs on a worker thread.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from kvproxy.core import Caller, DocumentRef, Visibility
from kvproxy.documents.library.document_names import id_in, owner_in
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.recorded_reads import RecordedReads

ListingOrder = Literal["id", "tokens", "created", "reads", "last_read", "saved"]

MOST_OWNERS = 8
"""Owners whose documents are kept in order, the public ones among them; the one asked for longest ago makes room."""


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

    Example: ``await asyncio.to_thread(listing.find, caller, ListingQuery("hand", by="reads"), reads.all())``
    """

    def __init__(self, library: Library) -> None:
        """Look at nothing yet."""
        self._library = library
        self._owners: OrderedDict[str, _OwnersIds] = OrderedDict()
        self._lock = threading.Lock()

    def find(
        self, caller: Caller, query: ListingQuery, reads: Mapping[DocumentRef, RecordedReads]
    ) -> ListedDocuments:
        """Return a part of the documents that ``caller`` may see. ``reads``: a copy that nobody changes.

        Example: ``listing.find(caller, ListingQuery("hand"), reads.all()).documents``
        """
        with self._lock:
            public = self._of("")
            own = self._of(caller.scope)
            granted = self._library.granted_ids(caller)
            # Of several publishers, or with versions that a grant does not let in to: the library knows which counts.
            unsure = {*granted, *(own.newest.keys() & public.newest.keys())}
            more = {**own.newest, **{id: self._visible(id, caller) for id in unsure}}
            return _part(public, {id: known for id, known in more.items() if known}, caller, query, reads)

    def _of(self, owner: str) -> _OwnersIds:
        ids = self._owners.get(owner)
        if ids is None:
            ids = self._owners[owner] = _OwnersIds(owner)
            if len(self._owners) > MOST_OWNERS:
                self._owners.popitem(last=False)
        self._owners.move_to_end(owner)
        ids.follow(self._library)
        return ids

    def _visible(self, id: str, caller: Caller) -> KnownDocument | None:
        versions = self._library.versions(id, caller)
        return versions[-1] if versions else None


class _OwnersIds:
    """The public documents, or one tenant's private ones: the newest version of each id, and the ids in order."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._seen: int | None = None
        self.newest: dict[str, KnownDocument] = {}
        self.ids: list[str] = []
        self.orders: dict[ListingOrder, list[str]] = {}
        """The ids by figures of the documents themselves, smallest first, until one changes."""
        self._joined = ""
        self._starts: list[int] = []

    def follow(self, library: Library) -> None:
        """Take up what the library has changed since the last time."""
        count = library.changes.count
        changed = None if self._seen is None else library.changes.since(self._seen)
        if changed is None:
            self._look_at_all(library)
        for name in changed or ():
            if owner_in(name) == self._owner:
                self._change(library, name)
        self._seen = count

    def having(self, sought: str) -> set[str]:
        """Return the ids with a part that is ``sought``, in lower case: one search in all of them together."""
        if not self._joined:
            self._joined = "\n".join(id.lower() for id in self.ids)
            ends = accumulate(len(id) + 1 for id in self.ids)
            self._starts = [0, *ends]
        found, at = set(), self._joined.find(sought)
        while at >= 0:
            place = bisect_right(self._starts, at) - 1
            found.add(self.ids[place])
            at = self._joined.find(sought, self._starts[place + 1])
        return found

    def _look_at_all(self, library: Library) -> None:
        newest = {}
        for name in library.names(self._owner):
            versions = library.of_name(name)
            if versions:
                newest[versions[-1].document.id] = versions[-1]
        self.newest, self.ids, self.orders, self._joined = newest, sorted(newest), {}, ""

    def _change(self, library: Library, name: str) -> None:
        id, versions = id_in(name), library.of_name(name)
        there = id in self.newest
        if versions:
            self.newest[id] = versions[-1]
            if not there:
                insort(self.ids, id)
        elif there:
            del self.newest[id]
            del self.ids[bisect_left(self.ids, id)]
        self.orders, self._joined = {}, ""


def _part(
    public: _OwnersIds,
    more: Mapping[str, KnownDocument],
    caller: Caller,
    query: ListingQuery,
    reads: Mapping[DocumentRef, RecordedReads],
) -> ListedDocuments:
    """Return the part of the public documents and of ``more``, which stand for public ones of the same ids."""

    def known(id: str) -> KnownDocument:
        return more.get(id) or public.newest[id]

    ids = _ordered(public, more, query, reads)
    visible = len(ids)
    if sought := query.search.lower():
        having = public.having(sought) | {id for id in more if sought in id.lower()}
        ids = [id for id in ids if id in having]
    if query.visibility == "public":
        others = {id for id, one in more.items() if one.document.visibility != "public"}
        ids = [id for id in ids if id not in others] if others else ids
    elif query.visibility is not None:
        ids = [id for id in ids if id in more and more[id].document.visibility == query.visibility]
    if query.own:
        ids = [id for id in ids if known(id).document.owner_scope == caller.scope]
    if query.descending:
        first = len(ids) - query.start
        shown = ids[max(0, first - query.most) : max(0, first)][::-1]
    else:
        shown = ids[query.start : query.start + query.most]
    return ListedDocuments(tuple(known(id) for id in shown), len(ids), visible)


def _ordered(
    public: _OwnersIds,
    more: Mapping[str, KnownDocument],
    query: ListingQuery,
    reads: Mapping[DocumentRef, RecordedReads],
) -> list[str]:
    """Return all ids, smallest first."""
    if query.by in ("reads", "last_read", "saved"):
        return _by_reads(_together(public.ids, more, None), public, more, query.by, reads)
    if query.by == "id":
        return _together(public.ids, more, None)
    value = _tokens if query.by == "tokens" else _created
    order = public.orders.get(query.by)
    if order is None:
        order = public.orders[query.by] = sorted(public.ids, key=lambda id: value(public.newest[id]))
    return _together(order, more, lambda id: value(more.get(id) or public.newest[id]))


def _together(
    ids: list[str], more: Mapping[str, KnownDocument], key: Callable[[str], int] | None
) -> list[str]:
    if not more:
        return ids
    return sorted([*(id for id in ids if id not in more), *sorted(more)], key=key)


def _by_reads(
    ids: list[str],
    public: _OwnersIds,
    more: Mapping[str, KnownDocument],
    by: ListingOrder,
    reads: Mapping[DocumentRef, RecordedReads],
) -> list[str]:
    """Return the ids that nobody reads, and behind them the others: the counts are walked, not the documents."""
    counted: dict[str, int] = {}
    for ref, count in reads.items():
        known = more.get(ref.id) or public.newest.get(ref.id)
        if known is not None and known.document.version == ref.version and _owner(known) == ref.owner:
            counted[ref.id] = _figure(by, count)
    unread = [id for id in ids if id not in counted] if counted else ids
    return [*unread, *sorted(sorted(counted), key=counted.__getitem__)]


def _owner(known: KnownDocument) -> str | None:
    """Return the owner in the document's reference."""
    document = known.document
    return None if document.visibility == "public" else document.ref.owner


def _tokens(known: KnownDocument) -> int:
    return len(known.tokenized.token_ids)


def _created(known: KnownDocument) -> int:
    return known.document.created


def _figure(by: ListingOrder, count: RecordedReads) -> int:
    if by == "reads":
        return count.reads
    return count.last_read if by == "last_read" else count.saved_tokens
