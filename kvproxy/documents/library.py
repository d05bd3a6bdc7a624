"""The documents this process knows, and which of them a text starts with. Event loop only; nothing awaits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from kvproxy.core import Caller, DocumentRef
from kvproxy.documents.document import Document, FramedPrefix, TokenizedDocument
from kvproxy.documents.spelling import PUBLISHED
from kvproxy.errors import DocumentNotFound

ANCHOR = 64
"""Characters by which documents are indexed; shorter ones are indexed whole, by length."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A document's text in another spelling than it was published in."""

    name: str
    text: str
    tokenized: TokenizedDocument

    @property
    def leading(self) -> str:
        """The white space before its core."""
        return self.text[: len(self.text) - len(self.text.lstrip())]


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
    def matches(self) -> list[Match]:
        """By each of its distinct cores: some spellings differ in what stands before them only."""
        cores = {spelled.tokenized.core: spelled.tokenized for spelled in reversed(self.spellings)}
        return [Match(self, tokenized) for tokenized in cores.values()]


@dataclass(frozen=True, slots=True)
class Match:
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
    """Known documents by reference and by how their text starts.

    Every version stays matchable. A document that a caller may not see is to that caller as one that does not
    exist, in results and, since it is skipped before its text is compared, in time.
    """

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Known]] = {}
        """By ``DocumentRef.name``, then by version."""
        self._anchors: dict[str, list[Match]] = {}
        self._short: Counter[int] = Counter()
        """Lengths of the cores that are shorter than an anchor, and how many of each there are."""

    def __len__(self) -> int:
        return sum(len(versions) for versions in self._versions.values())

    def __iter__(self) -> Iterator[Known]:
        """All versions, by id and then by version."""
        for _, names in groupby(sorted(self._versions), key=lambda name: name.partition("\n")[0]):
            versions = (known for name in names for known in self._versions[name].values())
            yield from sorted(versions, key=lambda known: (known.document.version, known.document.ref.name))

    def add(self, known: Known) -> None:
        """Make a version findable, replacing the same version if it is there."""
        self.remove(known.document.ref)
        self._versions.setdefault(known.document.ref.name, {})[known.document.version] = known
        for match in known.matches:
            anchor = match.tokenized.core[:ANCHOR]
            self._short[len(anchor)] += len(anchor) < ANCHOR
            entries = self._anchors.setdefault(anchor, [])
            entries.append(match)
            entries.sort(key=lambda m: m.rank)

    def remove(self, ref: DocumentRef) -> None:
        """Forget one version, or all of them when ``ref`` names none. Unknown ones are no error."""
        versions = self._versions.get(ref.name, {})
        for version in list(versions) if ref.version is None else [ref.version]:
            known = versions.pop(version, None)
            for match in known.matches if known is not None else ():
                self._unindex(match)
        if not versions:
            self._versions.pop(ref.name, None)

    def _unindex(self, match: Match) -> None:
        anchor = match.tokenized.core[:ANCHOR]
        self._short[len(anchor)] -= len(anchor) < ANCHOR
        entries = self._anchors[anchor]
        entries.remove(match)
        if not entries:
            del self._anchors[anchor]

    def find(self, ref: DocumentRef) -> Known | None:
        """Exactly this version, whoever may see it."""
        return self._versions.get(ref.name, {}).get(ref.version or 0)

    @property
    def quarantined(self) -> int:
        """How many versions are in quarantine."""
        return sum(1 for known in self if known.quarantined is not None)

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
        found = [
            known
            for known in self.versions(ref.id, caller)
            if ref.version is None or known.document.version == ref.version
        ]
        if not found:
            raise DocumentNotFound(str(ref), param=param)
        return found[-1]

    def at_front(self, text: str, caller: Caller) -> Match | None:
        """The longest document visible to ``caller`` that ``text`` starts with, in any of its spellings.

        ``text`` starts at a character that is not white space.
        """
        found = self._match(text[:ANCHOR], text, caller)
        if found is not None:
            return found
        for length in sorted((+self._short).keys(), reverse=True):
            found = self._match(text[:length], text, caller)
            if found is not None:
                return found
        return None

    def _match(self, anchor: str, text: str, caller: Caller) -> Match | None:
        for match in self._anchors.get(anchor, ()):
            if match.known.document.visible_to(caller.scope) and text.startswith(match.tokenized.core):
                return match
        return None
