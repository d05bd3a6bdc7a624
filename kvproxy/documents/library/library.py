"""The documents this process knows, and which of them a text starts with."""

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
class Spelled:
    """A document's text in another spelling than it was published in."""

    name: str
    text: str
    tokenized: TokenizedDocument

    @property
    def leading(self) -> str:
        """The white space before its core."""
        return "".join(takewhile(str.isspace, self.text))


@dataclass(frozen=True, slots=True)
class Known:
    """A document version as compose needs it."""

    document: Document
    tokenized: TokenizedDocument
    prefixes: tuple[FramedPrefix, ...]
    """Its published framings, of all its spellings."""
    quarantined: str | None = None
    """Why its kept pages are not used, in words for its readers; None while they are."""
    others: tuple[Spelled, ...] = ()
    """Its other spellings."""

    @property
    def spellings(self) -> tuple[Spelled, ...]:
        """All of them, as published first."""
        return (Spelled(PUBLISHED, self.document.text, self.tokenized), *self.others)

    @property
    def matches(self) -> list[DocumentMatch]:
        """By each of its distinct cores: some spellings differ in what stands before them only."""
        cores = {spelled.tokenized.core: spelled.tokenized for spelled in reversed(self.spellings)}
        return [DocumentMatch(self, tokenized) for tokenized in cores.values()]


@dataclass(frozen=True, slots=True)
class DocumentMatch:
    """A document in one of its spellings, as a text has it."""

    known: Known
    tokenized: TokenizedDocument

    @property
    def rank(self) -> tuple[int, bool, bool, int]:
        """The longest match is the best one; of equal texts the public one, whose pages all readers share, then the
        one that was published in this spelling, then the newest."""
        document, respelled = self.known.document, self.tokenized is not self.known.tokenized
        return (-len(self.tokenized.core), document.visibility != "public", respelled, -document.version)


class Library:
    """Known documents by reference and by how their text starts. Changed on the event loop only, read in any thread:
    what a reader has in hand is replaced, never changed.

    Every version stays matchable. A document that a caller may not see is to that caller as one that does not
    exist, in results and, since its text lies in an index of its owner's, in time.
    """

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Known]] = {}
        """By ``DocumentRef.name``, then by version, ascending."""
        self._texts: dict[str, TextPrefixes[DocumentMatch]] = {}
        """By the scope that may see the documents: ``PUBLIC``, or their owner's."""
        self._count = 0
        self._quarantined = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Known]:
        """All versions, by id and then by version."""
        for _, names in groupby(sorted(self._versions), key=_id_of):
            versions = (known for name in names for known in self._versions[name].values())
            yield from sorted(versions, key=lambda known: (known.document.version, known.document.ref.name))

    def ids(self, caller: Caller) -> list[str]:
        """Ids of which ``caller`` may see a version, sorted."""
        return sorted({_id_of(name) for name in self._versions if _owner_in(name) in ("", caller.scope)})

    def add(self, known: Known) -> None:
        """Make a version findable, replacing the same version if it is there: no reader sees neither."""
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
        """Forget one version, or all of them when ``ref`` names none. Unknown ones are no error."""
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

    def _unindex(self, known: Known, kept: Collection[str]) -> None:
        """``kept``: texts that still stand for this version."""
        scope, ref = _seen_by(known), known.document.ref
        texts = self._texts[scope]
        for match in known.matches:
            core = match.tokenized.core
            if core not in kept:
                texts.put(core, _others(texts.get(core), ref))
        if not len(texts):
            del self._texts[scope]

    def find(self, ref: DocumentRef) -> Known | None:
        """Exactly this version, whoever may see it."""
        return self._versions.get(ref.name, {}).get(ref.version or 0)

    @property
    def quarantined(self) -> int:
        """How many versions are in quarantine."""
        return self._quarantined

    def versions(self, document_id: str, caller: Caller) -> list[Known]:
        """The versions of a document that ``caller`` may see, oldest first, its own behind another publisher's.

        What others have under this id and ``caller`` may not see is not even looked at.
        """
        public = self._versions.get(document_id, {})
        private = self._versions.get(DocumentRef(document_id, owner=caller.scope).name, {})
        return sorted(
            (*public.values(), *private.values()),
            key=lambda known: (known.document.owner_scope == caller.scope, known.document.version),
        )

    def owner(self, document_id: str) -> str | None:
        """The scope whose public versions have this id; None when there are none."""
        versions = self._versions.get(document_id)
        return next(iter(versions.values())).document.owner_scope if versions else None

    def resolve(self, ref: DocumentRef, caller: Caller, *, param: str | None = None) -> Known:
        """The version ``ref`` names, or the newest that ``caller`` may see; its own before another publisher's. Raises
        DocumentNotFound."""
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

    def at_front(self, text: str, caller: Caller) -> DocumentMatch | None:
        """The longest document visible to ``caller`` that ``text`` starts with, in any of its spellings.

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
    """The scope of a private document's owner; empty for a public one."""
    return name.partition("\n")[2]


def _seen_by(known: Known) -> str:
    """The scope whose callers see a document."""
    return PUBLIC if known.document.visibility == "public" else known.document.owner_scope


def _others(matches: Sequence[DocumentMatch], ref: DocumentRef) -> tuple[DocumentMatch, ...]:
    return tuple(match for match in matches if match.known.document.ref != ref)
