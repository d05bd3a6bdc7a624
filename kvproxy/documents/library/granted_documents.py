"""`GrantedDocuments`: the granted documents of the library, with an index of their texts for each reader.

A lookup's time depends on the texts that its index holds. So a caller's own index holds the documents that the caller
has a grant for, and one more index, for everybody, those whose publisher lets text senders use the kept pages. The text
of any other document is in no index that is consulted for this caller: neither result nor time tell of it. One index
for all, with a check of each match, was rejected: comparing a long text with a key takes time that can be measured.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from kvproxy.core import Caller, DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument
from kvproxy.documents.library.reading_rights import ALLOWED, ReadingRights, Right
from kvproxy.documents.library.text_prefixes import Nearest, TextPrefixes

Reader = tuple[str, str, str | None]
Texts = TextPrefixes[DocumentMatch]

READERS = 1024
"""Readers whose index is kept; the one that asked longest ago goes first."""


class Ended(NamedTuple):
    """The key of a reader's index of documents that it has, or had, a grant for."""

    name: str
    scope: str
    key: str | None
    ended: bool = True


_Indexed = Reader | Ended | str | None
"""A reader's own index, one with its former grants too, an owner's by its scope, or the one for everybody."""


class GrantedDocuments:
    """Granted documents by reference, and by the start of their text for the callers who may find them.

    Changed on the event loop only, read in any thread. Indexes are made when they are first asked for, and anew when
    documents or rights have changed.
    """

    def __init__(self, rights: ReadingRights) -> None:
        self._rights = rights
        self._known: dict[DocumentRef, KnownDocument] = {}
        self._changes = 0
        self._made: OrderedDict[_Indexed, tuple[tuple[int, Hashable], Texts]] = OrderedDict()
        """By reader, owner, or None for everybody: the state that the index was made in, and the index."""
        self._lock = threading.Lock()

    def put(self, known: KnownDocument) -> None:
        """Add a version, in the place of the same version if it is there."""
        self._known[known.document.ref] = known
        self._changes += 1

    def take(self, ref: DocumentRef) -> bool:
        """Remove a version, and return whether it was there."""
        there = self._known.pop(ref, None) is not None
        self._changes += there
        return there

    def ids(self, caller: Caller) -> set[str]:
        """Return the ids with a version that ``caller`` may read."""
        documents = [known.document for known in tuple(self._known.values())]
        return {document.id for document in documents if self.right(document, caller).allowed}

    def right(self, document: Document, caller: Caller) -> Right:
        """Return whether ``caller`` may read this document by reference; its publisher may, without a grant."""
        return ALLOWED if document.owner_scope == caller.scope else self._rights.right(document, caller)

    def find_at_front(self, text: str, caller: Caller, at: int = 0) -> DocumentMatch | None:
        """Return the longest document whose pages ``caller`` may use and that ``text[at:]`` starts with."""
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
        own = self._index(caller.scope, lambda document: document.owner_scope == caller.scope)
        return own.nearest(text)

    def find_ended(self, text: str, caller: Caller) -> DocumentMatch | None:
        """Return the longest document that ``text`` starts with and that ``caller`` had a grant for, which has ended or
        is used up. None for one that the caller never had a grant for."""
        known = self._index(
            Ended(caller.name, caller.scope, caller.key), partial(self._told_of, caller=caller)
        )
        for matches in known.starting(text):
            for match in matches:
                if self._ended(match.known.document, caller):
                    return match
        return None

    def _told_of(self, document: Document, caller: Caller) -> bool:
        # A grant may end without a change of the index's state, so documents that are granted now lie in it too.
        return self.right(document, caller).allowed or self._rights.refusal(document, caller) is not None

    def _ended(self, document: Document, caller: Caller) -> bool:
        return (
            not self.right(document, caller).allowed
            and not self._rights.serves_texts(document)
            and self._rights.refusal(document, caller) is not None
        )

    def _consulted(self, caller: Caller) -> tuple[Texts, Texts]:
        """Return the index for everybody, and the caller's own."""
        return self._index(None, self._rights.serves_texts), self._own(caller)

    def _own(self, caller: Caller) -> Texts:
        reader = (caller.name, caller.scope, caller.key)
        return self._index(reader, lambda document: self.right(document, caller).allowed)

    def _usable(self, match: DocumentMatch, caller: Caller) -> DocumentMatch | None:
        """Return the match with the caller's grant; None where neither a grant nor the publisher's policy lets the
        caller use its pages at this moment."""
        right = self.right(match.known.document, caller)
        if right.allowed:
            return replace(match, grant=right.grant)
        return match if self._rights.serves_texts(match.known.document) else None

    def _index(self, reader: _Indexed, accepts: Callable[[Document], bool]) -> Texts:
        state = (self._changes, self._rights.generation)
        with self._lock:
            made = self._made.get(reader)
            if made is not None and made[0] == state:
                self._made.move_to_end(reader)
                return made[1]
        index = self._new_index(accepts)
        with self._lock:
            self._made[reader] = (state, index)
            self._made.move_to_end(reader)
            while len(self._made) > READERS:
                self._made.popitem(last=False)
        return index

    def _new_index(self, accepts: Callable[[Document], bool]) -> Texts:
        found: dict[str, list[DocumentMatch]] = {}
        for known in tuple(
            self._known.values()
        ):  # copied in one step: another thread may be the event loop's
            if accepts(known.document):
                for match in known.matches:
                    found.setdefault(match.tokenized.core, []).append(match)
        index: Texts = TextPrefixes()
        for core, matches in found.items():
            index.put(core, tuple(sorted(matches, key=lambda match: match.rank)))
        return index
