"""`Library`: the documents that this process knows, found by reference or at the front of a text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from kvproxy.core import PUBLIC, Caller, DocumentRef
from kvproxy.documents.library.document import Document, FramedPrefix, TokenizedDocument
from kvproxy.documents.library.spelling import PUBLISHED
from kvproxy.documents.library.text_prefixes import TextPrefixes
from kvproxy.errors import DocumentNotFound


@dataclass(frozen=True, slots=True)
class SpelledText:
    """A document's text in another spelling than the published one."""

    name: str
    text: str
    tokenized: TokenizedDocument

    @property
    def leading(self) -> str:
        """The white space before its core."""
        return "".join(takewhile(str.isspace, self.text))


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document version with its tokens, as the composer needs it."""

    document: Document
    tokenized: TokenizedDocument
    prefixes: tuple[FramedPrefix, ...]
    """Its published framings, of all its spellings."""
    quarantined: str | None = None
    """The reason that its kept pages are not used, for its readers; None while they are."""
    others: tuple[SpelledText, ...] = ()
    """Its other spellings."""

    @property
    def spellings(self) -> tuple[SpelledText, ...]:
        """All spellings, the published one first."""
        return (SpelledText(PUBLISHED, self.document.text, self.tokenized), *self.others)

    @property
    def matches(self) -> list[DocumentMatch]:
        """One match for each distinct core: some spellings differ only in the text before it."""
        cores = {spelled.tokenized.core: spelled.tokenized for spelled in reversed(self.spellings)}
        return [DocumentMatch(self, tokenized) for tokenized in cores.values()]


@dataclass(frozen=True, slots=True)
class DocumentMatch:
    """A document in one of its spellings, as found in a text."""

    known: KnownDocument
    tokenized: TokenizedDocument

    @property
    def rank(self) -> tuple[int, bool, bool, int]:
        """The sort key, best first: the longest match; of equal texts the public one, whose pages all readers
        share, then the one published in this spelling, then the newest."""
        document, respelled = self.known.document, self.tokenized is not self.known.tokenized
        return (-len(self.tokenized.core), document.visibility != "public", respelled, -document.version)


class Library:
    """Known documents by reference and by the start of their text.

    Changed on the event loop only, read in any thread: a value that a reader holds is replaced, never changed. Every
    version stays matchable. A document that a caller may not see is to that caller as one that does not exist, in
    results and, since its text lies in an index of its owner's, in time.
    """

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, KnownDocument]] = {}
        """By ``DocumentRef.name``, then by version, ascending."""
        self._texts: dict[str, TextPrefixes[DocumentMatch]] = {}
        """By the scope that may see the documents: ``PUBLIC``, or their owner's."""
        self._count = 0
        self._quarantined = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[KnownDocument]:
        """Yield all versions, by id and then by version."""
        for _, names in groupby(sorted(self._versions), key=_id_of):
            versions = (known for name in names for known in self._versions[name].values())
            yield from sorted(versions, key=lambda known: (known.document.version, known.document.ref.name))

    def ids(self, caller: Caller) -> list[str]:
        """Return the ids with a version that ``caller`` may see, sorted."""
        return sorted({_id_of(name) for name in self._versions if _owner_in(name) in ("", caller.scope)})

    def add(self, known: KnownDocument) -> None:
        """Make a version findable, replacing the same version if present: a reader sees the one or the other."""
        ref, before = known.document.ref, self.find(known.document.ref)
        versions = {**self._versions.get(ref.name, {}), known.document.version: known}
        self._versions[ref.name] = {version: versions[version] for version in sorted(versions)}
        self._count += before is None
        self._quarantined += known.quarantined is not None
        texts = self._texts.setdefault(_seen_by(known), TextPrefixes())
        for match in known.matches:
            core = match.tokenized.core
            texts.put(core, tuple(sorted((*_others(texts.get(core), ref), match), key=lambda m: m.rank)))
        if before is not None:
            self._quarantined -= before.quarantined is not None
            kept = (
                {match.tokenized.core for match in known.matches}
                if _seen_by(before) == _seen_by(known)
                else set()
            )
            self._unindex(before, kept)

    def remove(self, ref: DocumentRef) -> None:
        """Remove one version, or all of them when ``ref`` names none. Unknown ones are no error."""
        versions = self._versions.get(ref.name, {})
        left = {v: known for v, known in versions.items() if ref.version not in (None, v)}
        if left:
            self._versions[ref.name] = left
        else:
            self._versions.pop(ref.name, None)
        for version, known in versions.items():
            if version not in left:
                self._count -= 1
                self._quarantined -= known.quarantined is not None
                self._unindex(known, ())

    def _unindex(self, known: KnownDocument, kept: Collection[str]) -> None:
        """Remove a version's texts from the index, except for those in ``kept``."""
        scope, ref = _seen_by(known), known.document.ref
        texts = self._texts[scope]
        for match in known.matches:
            core = match.tokenized.core
            if core not in kept:
                texts.put(core, _others(texts.get(core), ref))
        if not len(texts):
            del self._texts[scope]

    def find(self, ref: DocumentRef) -> KnownDocument | None:
        """Return exactly this version, whether or not a caller may see it."""
        return self._versions.get(ref.name, {}).get(ref.version or 0)

    @property
    def quarantined(self) -> int:
        """The number of versions in quarantine."""
        return self._quarantined

    def versions(self, document_id: str, caller: Caller) -> list[KnownDocument]:
        """Return the versions of a document that ``caller`` may see, oldest first, its own behind another
        publisher's.

        Private versions of other owners under this id are not even looked at.
        """
        public = self._versions.get(document_id, {})
        private = self._versions.get(DocumentRef(document_id, owner=caller.scope).name, {})
        return sorted(
            (*public.values(), *private.values()),
            key=lambda known: (known.document.owner_scope == caller.scope, known.document.version),
        )

    def owner(self, document_id: str) -> str | None:
        """Return the scope of the publisher with public versions under this id; None when there are none."""
        versions = self._versions.get(document_id)
        return next(iter(versions.values())).document.owner_scope if versions else None

    def resolve(self, ref: DocumentRef, caller: Caller, *, param: str | None = None) -> KnownDocument:
        """Return the version ``ref`` names, or the newest that ``caller`` may see; its own before another
        publisher's.

        Raises DocumentNotFound.

        Example:
            ``known = library.resolve(DocumentRef("handbook"), caller, param="messages[0].content")``
        """
        public = self._versions.get(ref.id, {})
        private = self._versions.get(DocumentRef(ref.id, owner=caller.scope).name, {})
        if ref.version is not None:
            found = [private.get(ref.version), public.get(ref.version)]
        else:
            newest = [next(reversed(versions.values())) for versions in (private, public) if versions]
            newest.sort(
                key=lambda known: (known.document.owner_scope == caller.scope, known.document.version)
            )
            found = [*reversed(newest)]
        for known in found:
            if known is not None:
                return known
        raise DocumentNotFound(str(ref), param=param)

    def find_at_front(self, text: str, caller: Caller) -> DocumentMatch | None:
        """Return the longest document visible to ``caller`` that ``text`` starts with, in any of its spellings.

        ``text`` starts at a character that is not white space.
        """
        found = [
            match for scope in (PUBLIC, caller.scope) if (match := self._longest(text, scope)) is not None
        ]
        return min(found, key=lambda match: match.rank, default=None)

    def _longest(self, text: str, scope: str) -> DocumentMatch | None:
        texts = self._texts.get(scope)
        return next((matches[0] for matches in texts.starting(text) if matches), None) if texts else None


def _id_of(name: str) -> str:
    return name.partition("\n")[0]


def _owner_in(name: str) -> str:
    """Return the scope of a private document's owner; empty for a public one."""
    return name.partition("\n")[2]


def _seen_by(known: KnownDocument) -> str:
    """Return the scope that a document is visible to."""
    return PUBLIC if known.document.visibility == "public" else known.document.owner_scope


def _others(matches: Sequence[DocumentMatch], ref: DocumentRef) -> tuple[DocumentMatch, ...]:
    return tuple(match for match in matches if match.known.document.ref != ref)
