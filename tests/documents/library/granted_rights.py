"""`PlannedRights`: a stand-in for the market, which lets in whom a test says."""

from __future__ import annotations

from kvproxy.core import Caller
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.reading_rights import REFUSED, Right


class PlannedRights:
    """Grants by document and reader; a change of them changes ``generation``, as the market's do."""

    def __init__(self) -> None:
        self.generation = 0
        self.asked: list[tuple[str, str]] = []
        """Documents and callers that a right was asked for."""
        self._grants: dict[tuple[str, str], tuple[int | None, str]] = {}
        self._ended: dict[tuple[str, str], str] = {}
        self._discounted: set[str] = set()
        self._named: dict[str, set[str]] = {}

    @property
    def policies(self) -> int:
        return self.generation

    def granted_ids(self, caller: Caller) -> set[str]:
        return self._named.get(caller.name, set())

    def shared_ids(self) -> set[str]:
        return self._named.get("everybody", set()) | self._discounted

    def grant(self, id: str, reader: str, version: int | None = None) -> None:
        self._grants[id, reader] = (version, f"grant-{id}-{reader}")
        self._ended.pop((id, reader), None)
        self.generation += 1
        self._named.setdefault(reader, set()).add(id)

    def end(self, id: str, reader: str, reason: str) -> None:
        """End a grant without a change of generation, as its expiry does."""
        del self._grants[id, reader]
        self._ended[id, reader] = reason

    def discount(self, id: str, *, on: bool = True) -> None:
        """Let text senders use the pages of a document, or no more."""
        (self._discounted.add if on else self._discounted.discard)(id)
        self.generation += 1

    def right(self, document: Document, caller: Caller) -> Right:
        self.asked.append((document.id, caller.name))
        for reader in (caller.name, "everybody"):
            version, grant = self._grants.get((document.id, reader), (0, ""))
            if grant and version in (None, document.version):
                return Right(allowed=True, grant=grant)
        return REFUSED

    def refusal(self, document: Document, caller: Caller) -> str | None:
        return self._ended.get((document.id, caller.name))

    def serves_texts(self, document: Document) -> bool:
        return document.id in self._discounted

    def publisher(self, owner_scope: str) -> str:
        return owner_scope.removeprefix("tenant:")
