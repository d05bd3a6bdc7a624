"""What of each document is kept right now, and which pages are shared between documents. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvproxy.core import DocumentRef, Kept
from kvproxy.documents.registry import KeptFraming


@dataclass(frozen=True, slots=True)
class Holding:
    """A document version's kept framings and the scope that may read them."""

    scope: str
    framings: tuple[KeptFraming, ...]

    def of(self, framing: str) -> Kept | None:
        return next((f.kept for f in self.framings if f.framing == framing), None)

    @property
    def keys(self) -> frozenset[bytes]:
        return frozenset(page.key for f in self.framings for page in f.kept.pages)


class Shelf:
    """Holdings by document version."""

    def __init__(self) -> None:
        self._holdings: dict[DocumentRef, Holding] = {}

    def put(self, ref: DocumentRef, holding: Holding) -> None:
        self._holdings[ref] = holding

    def get(self, ref: DocumentRef) -> Holding:
        """Empty for a version of which nothing is kept."""
        return self._holdings.get(ref, Holding("", ()))

    def take(self, refs: Sequence[DocumentRef]) -> list[Holding]:
        """Remove holdings and return them."""
        return [self._holdings.pop(ref) for ref in refs if ref in self._holdings]

    def keys(self, scope: str, among: Callable[[DocumentRef], bool] = lambda _: True) -> frozenset[bytes]:
        """Pages that documents of ``scope`` still need, ``among`` these."""
        held = self._holdings.items()
        return frozenset(k for ref, h in held if h.scope == scope and among(ref) for k in h.keys)

    def needing(self, key: bytes, scope: str) -> list[DocumentRef]:
        """Document versions of ``scope`` that one page belongs to."""
        return [ref for ref, h in self._holdings.items() if h.scope == scope and key in h.keys]
