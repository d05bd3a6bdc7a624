"""The kept pages of each document version, and the versions that share a page. Bookkeeping only, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from kvproxy.core import DocumentRef, Kept
from kvproxy.documents.registry.registry_entry import KeptFraming


@dataclass(frozen=True, slots=True)
class DocumentHolding:
    """The kept framings of a document version, the scope that may read them, and the scope of their publisher."""

    scope: str
    framings: tuple[KeptFraming, ...]
    owner: str

    def of(self, framing: str) -> Kept | None:
        """Return the record of one framing; None where it is not kept."""
        return next((f.kept for f in self.framings if f.framing == framing), None)

    @property
    def keys(self) -> frozenset[bytes]:
        """The keys of all its pages."""
        return frozenset(page.key for f in self.framings for page in f.kept.pages)


class Holdings:
    """Holdings by document version, with an index from page to versions: no lookup scans all of them."""

    def __init__(self) -> None:
        self._holdings: dict[DocumentRef, DocumentHolding] = {}
        self._needing: dict[bytes, dict[DocumentRef, None]] = {}
        """By page key: the versions that need it, in any scope, in the order in which they were added."""

    def put(self, ref: DocumentRef, holding: DocumentHolding) -> None:
        """Record the holding of a version, in the place of an earlier one."""
        self.take([ref])
        self._holdings[ref] = holding
        for key in holding.keys:
            self._needing.setdefault(key, {})[ref] = None

    def get(self, ref: DocumentRef) -> DocumentHolding:
        """Return a version's holding; an empty one where it has no kept pages."""
        return self._holdings.get(ref, DocumentHolding("", (), ""))

    def newest(self, most: int) -> list[DocumentHolding]:
        """Return the holdings that were put last, at most so many."""
        return list(islice(reversed(self._holdings.values()), most))

    def take(self, refs: Sequence[DocumentRef]) -> list[DocumentHolding]:
        """Remove holdings and return them."""
        taken: list[DocumentHolding] = []
        for ref in refs:
            if (holding := self._holdings.pop(ref, None)) is not None:
                taken.append(holding)
                for key in holding.keys:
                    self._drop_need(key, ref)
        return taken

    def needed(
        self, keys: Iterable[bytes], scope: str, among: Callable[[DocumentRef], bool] = lambda _: True
    ) -> frozenset[bytes]:
        """Return those of ``keys`` that documents of ``scope`` need, of which only versions ``among`` accepts count.

        Example:
            ``needed = holdings.needed(holding.keys, holding.scope, lambda ref: ref != deleted)``
        """
        return frozenset(key for key in keys if any(among(ref) for ref in self._of_scope(key, scope)))

    def needing(self, key: bytes, scope: str) -> list[DocumentRef]:
        """Return the document versions of ``scope`` that one page belongs to."""
        return list(self._of_scope(key, scope))

    def _of_scope(self, key: bytes, scope: str) -> Iterator[DocumentRef]:
        return (ref for ref in self._needing.get(key, ()) if self._holdings[ref].scope == scope)

    def _drop_need(self, key: bytes, ref: DocumentRef) -> None:
        needing = self._needing[key]
        del needing[ref]
        if not needing:
            del self._needing[key]
