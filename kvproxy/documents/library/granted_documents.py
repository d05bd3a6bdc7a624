"""`GrantedDocuments`: the granted documents of the library, with an index of their texts for each reader.

A lookup's time depends on the texts that its index holds. So a caller's own index holds the documents that a grant
names the caller for, and one more index, for everybody, those that are granted to everybody or whose publisher lets
text senders use the kept pages. The text of any other document is in no index that is consulted for this caller:
neither result nor time tell of it. One index for all, with a check of each match, was rejected: comparing a long text
with a key takes time that can be measured.

An index is brought up to date when it is next asked, by the reader's own grants: neither the number of documents nor
other readers' grants cost it more than the documents that changed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import NamedTuple

from kvproxy.core import Caller, DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument
from kvproxy.documents.library.reader_texts import ReaderTexts, Texts
from kvproxy.documents.library.reading_rights import ALLOWED, ReadingRights, Right
from kvproxy.documents.library.text_prefixes import Nearest

Reader = tuple[str, str, str | None]

READERS = 1024
"""Readers whose index is kept; the one that asked longest ago goes first."""


class Ended(NamedTuple):
    """The key of a reader's index of documents that it has, or had, a grant for."""

    name: str
    scope: str
    key: str | None
    ended: bool = True


_ANYBODY = Caller("", "")
"""A caller that is let in by grants for everybody alone."""
_ENDED_FOR_ALL = Ended("", "", None)

_Indexed = Reader | Ended | str | None
"""A reader's own index, one with its former grants too, an owner's by its scope, or the one for everybody."""


class GrantedDocuments:
    """Granted documents by reference, and by the start of their text for the callers who may find them.

    Changed on the event loop only, read in any thread. Indexes are made when they are first asked for.
    """

    def __init__(self, rights: ReadingRights) -> None:
        self._rights = rights
        self._known: dict[DocumentRef, KnownDocument] = {}
        self._by_id: dict[str, dict[DocumentRef, KnownDocument]] = {}
        self._by_owner: dict[str, dict[DocumentRef, KnownDocument]] = {}
        """By publisher's scope."""
        self._changes = 0
        self._made: OrderedDict[_Indexed, ReaderTexts] = OrderedDict()
        """By reader, owner, or None for everybody."""
        self._lock = threading.Lock()

    def put(self, known: KnownDocument) -> None:
        """Add a version, in the place of the same version if it is there."""
        document = known.document
        self.take(document.ref)
        self._known[document.ref] = known
        for group, name in ((self._by_id, document.id), (self._by_owner, document.owner_scope)):
            group.setdefault(name, {})[document.ref] = known
        self._changes += 1

    def take(self, ref: DocumentRef) -> bool:
        """Remove a version, and return whether it was there."""
        known = self._known.pop(ref, None)
        if known is None:
            return False
        for group, name in ((self._by_id, ref.id), (self._by_owner, known.document.owner_scope)):
            del group[name][ref]
            if not group[name]:
                del group[name]
        self._changes += 1
        return True

    def ids(self, caller: Caller) -> set[str]:
        """Return the ids with a version that ``caller`` may read."""
        return {known.document.id for known in self._published(caller)} | self.others_ids(caller)

    def others_ids(self, caller: Caller) -> set[str]:
        """Return the ids with a version of another publisher that ``caller`` may read."""
        if len(self._by_owner.get(caller.scope, ())) == len(self._known):
            return set()  # a publisher alone with very many
        named = self._named({*self._rights.granted_ids(caller), *self._rights.shared_ids()})
        documents = [known.document for known in named if known.document.owner_scope != caller.scope]
        return {document.id for document in documents if self.right(document, caller).allowed}

    def right(self, document: Document, caller: Caller) -> Right:
        """Return whether ``caller`` may read this document by reference; its publisher may, without a grant."""
        return ALLOWED if document.owner_scope == caller.scope else self._rights.right(document, caller)

    def find_at_front(self, text: str, caller: Caller, at: int = 0) -> DocumentMatch | None:
        """Return the longest document whose pages ``caller`` may use and that ``text[at:]`` starts with.

        Example:
            ``match = granted.find_at_front(text, caller, at=12)``
        """
        own = caller.scope
        found: list[DocumentMatch] = []
        for texts in self._consulted(caller):
            for matches in texts.starting(text, at):
                usable = [used for match in matches if (used := self._usable(match, caller)) is not None]
                if usable:
                    found.append(min(usable, key=lambda m: (m.known.document.owner_scope != own, m.rank)))
                    break
        return min(found, key=lambda match: match.rank, default=None)

    def nearest(self, text: str, caller: Caller) -> Nearest[DocumentMatch] | None:
        """Return the text nearest to ``text`` among the documents that ``caller`` published itself.

        Whoever reads by a grant has not got the text: the length of a common beginning would give it away, a character
        at a time.
        """
        return self._index(caller.scope, self._rights.generation, lambda: self._published(caller)).nearest(
            text
        )

    def find_ended(self, text: str, caller: Caller) -> DocumentMatch | None:
        """Return the longest document that ``text`` starts with and that ``caller`` had a grant for, which has ended or
        is used up. None for one that the caller never had a grant for."""
        rights, reader = self._rights, Ended(caller.name, caller.scope, caller.key)
        state = (rights.generation, rights.policies)
        # A grant may end without a change of the state, so documents that are granted now lie in these indexes too.
        indexes = (
            self._index(reader, state, lambda: self._told_of(caller, rights.granted_ids(caller))),
            self._index(_ENDED_FOR_ALL, state, lambda: self._told_of(_ANYBODY, rights.shared_ids())),
        )
        matches = [match for texts in indexes for found in texts.starting(text) for match in found]
        ended = [match for match in matches if self._ended(match.known.document, caller)]
        return min(ended, key=lambda match: match.rank, default=None)

    def _published(self, caller: Caller) -> list[KnownDocument]:
        """Return the caller's own documents. Copied in one step: the event loop may change them meanwhile."""
        return list(self._by_owner.get(caller.scope, {}).values())

    def _named(self, ids: Iterable[str]) -> list[KnownDocument]:
        return [known for id in ids for known in list(self._by_id.get(id, {}).values())]

    def _told_of(self, caller: Caller, ids: Iterable[str]) -> list[KnownDocument]:
        """Return the documents among ``ids`` that ``caller`` has or had a grant for."""
        return [
            known
            for known in self._named(ids)
            if self.right(known.document, caller).allowed
            or self._rights.refusal(known.document, caller) is not None
        ]

    def _readable(self, caller: Caller) -> list[KnownDocument]:
        """Return the documents that the caller published, or that a grant names it for."""
        named = self._named(self._rights.granted_ids(caller))
        return [*self._published(caller), *(k for k in named if self.right(k.document, caller).allowed)]

    def _shared(self) -> list[KnownDocument]:
        """Return the documents that are granted to everybody, or whose publisher lets text senders use the kept
        pages."""
        return [
            known
            for known in self._named(self._rights.shared_ids())
            if self._rights.serves_texts(known.document) or self.right(known.document, _ANYBODY).allowed
        ]

    def _ended(self, document: Document, caller: Caller) -> bool:
        return (
            not self.right(document, caller).allowed
            and not self._rights.serves_texts(document)
            and self._rights.refusal(document, caller) is not None
        )

    def _consulted(self, caller: Caller) -> tuple[Texts, Texts]:
        """Return the index for everybody, and the caller's own."""
        rights, reader = self._rights, (caller.name, caller.scope, caller.key)
        return (
            self._index(None, (rights.generation, rights.policies), self._shared),
            self._index(reader, rights.generation, lambda: self._readable(caller)),
        )

    def _usable(self, match: DocumentMatch, caller: Caller) -> DocumentMatch | None:
        """Return the match with the caller's grant; None where neither a grant nor the publisher's policy lets the
        caller use its pages at this moment."""
        right = self.right(match.known.document, caller)
        if right.allowed:
            return replace(match, grant=right.grant)
        return match if self._rights.serves_texts(match.known.document) else None

    def _index(
        self, reader: _Indexed, rights: Hashable, documents: Callable[[], Iterable[KnownDocument]]
    ) -> Texts:
        """Return an index of ``documents``, which are asked for where anything has changed; ``rights``: their state."""
        state = (self._changes, rights)
        with self._lock:
            index = self._made.get(reader)
            if index is None:
                index = self._made[reader] = ReaderTexts()
                while len(self._made) > READERS:
                    self._made.popitem(last=False)
            self._made.move_to_end(reader)
        return index.of(documents, state)
