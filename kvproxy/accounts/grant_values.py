"""Grants: a publisher's permissions to load a document by reference, and the choice among them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from kvproxy.core import Caller

ReaderKind = Literal["key", "tenant", "everybody"]
READER_KINDS: tuple[ReaderKind, ...] = get_args(ReaderKind)


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission to load a document by reference. None: no limit of that kind."""

    id: str
    publisher: str
    document: str
    """The document's id, without a version."""
    version: int | None
    """None: every version."""
    reader_kind: ReaderKind
    reader: str | None
    """A key's id or a tenant's name; None for everybody."""
    created_ms: int
    terms: str | None = None
    """The id of the terms that count instead of the document's own."""
    max_reads: int | None = None
    max_tokens: int | None = None
    max_nano: int | None = None
    expires_ms: int | None = None
    revoked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GrantUse:
    """Sums of what was read by a grant."""

    reads: int = 0
    tokens: int = 0
    nano: int = 0

    def plus(self, tokens: int, nano: int) -> GrantUse:
        """Return the sums after one more read."""
        return GrantUse(self.reads + 1, self.tokens + tokens, self.nano + nano)

    def at_least(self, other: GrantUse) -> GrantUse:
        """Return the larger of each sum: they only ever grow."""
        return GrantUse(
            max(self.reads, other.reads), max(self.tokens, other.tokens), max(self.nano, other.nano)
        )

    def exhausts(self, grant: Grant) -> bool:
        """Return whether a cap of the grant is reached."""
        caps = ((grant.max_reads, self.reads), (grant.max_tokens, self.tokens), (grant.max_nano, self.nano))
        return any(most is not None and used >= most for most, used in caps)


Readers = tuple[ReaderKind, str | None]
_EVERYBODY: Readers = ("everybody", None)


@dataclass(frozen=True, slots=True)
class GrantIndex:
    """All grants by publisher, document and reader, revoked ones too: a reader who had one is told that it has ended. A
    look-up does not grow with the number of other grants."""

    number: int = 0
    """The number of changes that it holds."""
    grants: Mapping[str, Grant] = field(default_factory=dict)
    places: Mapping[tuple[str, str, ReaderKind, str | None], tuple[Grant, ...]] = field(default_factory=dict)
    documents: Mapping[Readers, frozenset[str]] = field(default_factory=dict)
    """By reader, the ids of the documents that a grant names it for."""

    @classmethod
    def of(cls, grants: Iterable[Grant], number: int) -> GrantIndex:
        """Index grants. In each place those of one version come first, and of equal ones the newest."""
        found = {grant.id: grant for grant in grants}
        places: dict[tuple[str, str, ReaderKind, str | None], list[Grant]] = defaultdict(list)
        for grant in sorted(found.values(), key=lambda g: (g.version is None, -g.created_ms, g.id)):
            places[grant.publisher, grant.document, grant.reader_kind, grant.reader].append(grant)
        documents: dict[Readers, set[str]] = defaultdict(set)
        for _, document, kind, reader in places:
            documents[kind, reader].add(document)
        return cls(
            number,
            found,
            {place: tuple(ordered) for place, ordered in places.items()},
            {reader: frozenset(ids) for reader, ids in documents.items()},
        )

    def documents_of(self, caller: Caller | None) -> frozenset[str]:
        """Return the ids of the documents that a grant names or named this caller for, of any publisher; None: those
        that a grant is or was for everybody."""
        readers = [_EVERYBODY] if caller is None else [r for r in _readers(caller) if r != _EVERYBODY]
        return frozenset().union(*(self.documents.get(reader, ()) for reader in readers))

    def best(
        self, publisher: str, document: str, version: int, caller: Caller, valid: Callable[[Grant], bool]
    ) -> Grant | None:
        """Return the valid grant that names the reader most exactly: its key, then its tenant, then everybody.

        Within these one for the version comes before one for all, then the newest. A publisher who makes a narrower
        grant means it to count, whether its price is lower or higher.

        Example:
            ``index.best("acme", "handbook", 3, caller, lambda grant: True)``
        """
        for kind, reader in _readers(caller):
            for grant in self.places.get((publisher, document, kind, reader), ()):
                if grant.version in (None, version) and valid(grant):
                    return grant
        return None


def _readers(caller: Caller) -> list[Readers]:
    """Return the names under which a grant may be a caller's, the most exact first."""
    readers: list[Readers] = [("tenant", caller.name), _EVERYBODY]
    return readers if caller.key is None else [("key", caller.key), *readers]
