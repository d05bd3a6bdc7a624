"""`Catalog`: the documents that a caller may read, with their prices, reads and verifications; searched and paged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvproxy.catalog.catalog_notes import CatalogNotes, LastCheck
from kvproxy.catalog.offered_documents import OfferedDocument, Offers
from kvproxy.catalog.offered_terms import OfferedTerms
from kvproxy.core import Caller, DocumentRef, DocumentTokens, MeteredTokens
from kvproxy.documents.library.document_info import Verification
from kvproxy.documents.library.library import Library
from kvproxy.errors import DocumentNotFound
from kvproxy.tariffs import DocumentTerms, Tariff, charge
from kvproxy.wire.market.catalog_types import CheckedBits, KvCatalog, KvCatalogEntry, ReadPrice
from kvproxy.wire.market.quote_types import money_body

MOST_PAGE = 200
"""Entries of one page."""

_FRESH_S = 5.0
"""Seconds for which counted reads are shown again before the ledger is asked for new ones."""


class TariffTimes(Protocol):
    """The history of tariffs, as :class:`kvproxy.tariffs.recorded_tariffs.Tariffs` has it."""

    def at(self, ms: int) -> Tariff | None:
        """Return the tariff that is valid then."""


@dataclass(frozen=True, slots=True)
class CatalogSearch:
    """Criteria of a search; those that are None are not asked."""

    id: str | None = None
    """The beginning of the document's id."""
    publisher: str | None = None
    sha256: str | None = None
    """Of the text, or of one of its spellings without the white space around it."""

    def finds(self, offered: OfferedDocument) -> bool:
        """Return whether a document is looked for."""
        return (
            (self.id is None or offered.ref.id.startswith(self.id))
            and (self.publisher is None or offered.publisher == self.publisher)
            and (self.sha256 is None or self.sha256.lower() in offered.digests)
        )


class Catalog:
    """The catalog of one host and model.

    Example:
        ``await catalog.page(caller, CatalogSearch(sha256=digest))``
    """

    def __init__(
        self,
        *,
        offers: Offers,
        notes: CatalogNotes,
        tariffs: TariffTimes,
        terms: OfferedTerms,
        model: str,
        others: Mapping[str, Library] | None = None,
    ) -> None:
        """``model``: the served model that ``offers`` counts tokens of; ``others``: the libraries of the further
        models, whose tokens of the same documents are shown beside."""
        self._others = dict(others or {})
        self._offers = offers
        self._notes = notes
        self._tariffs = tariffs
        self._terms = terms
        self._model = model
        self._read_at = 0.0

    async def page(
        self, caller: Caller, search: CatalogSearch, *, after: str | None = None, limit: int = 50
    ) -> KvCatalog:
        """Return the entries behind ``after``, by id and version.

        Example:
            ``await catalog.page(caller, CatalogSearch(publisher="acme"), limit=20)``
        """
        await self._freshen()
        found = [one for one in await self._offers.to(caller) if search.finds(one)]
        start = _behind(found, after)
        shown = found[start : start + limit]
        more = start + limit < len(found)
        priced = await asyncio.to_thread(
            lambda: [self._terms.of(one.ref.id, one.publisher, one.grant) for one in shown]
        )
        entries = [self._entry(one, terms) for one, terms in zip(shown, priced, strict=True)]
        return {"object": "list", "data": entries, "next": shown[-1].name if more else None}

    async def find(self, caller: Caller, *, sha256: str) -> OfferedDocument:
        """Return the newest version that a text of this hash is of. Raises DocumentNotFound."""
        found = [one for one in await self._offers.to(caller) if sha256.lower() in one.digests]
        if not found:
            raise DocumentNotFound(f"sha256 {sha256[:64]}", param="sha256")
        return max(found, key=lambda one: (one.ref.version or 0, one.created))

    async def note_verification(
        self, caller: Caller, document: DocumentRef, found: Sequence[Verification]
    ) -> None:
        """Note what a verification by ``caller`` has measured; nothing for a document that is not on offer.

        Only its publisher's and an admin's count: another tenant may mean a private document of the same name.

        Example:
            ``await catalog.note_verification(caller, DocumentRef("handbook", 3), verifications)``
        """
        every = "admin" in caller.permissions
        mine = [one for one in await self._offers.to(caller) if every or one.publisher == caller.name]
        named = [one for one in mine if one.ref.id == document.id]
        for one in named:
            if one.ref.version == document.version or (document.version is None and one.current):
                now, version = int(time.time() * 1000), one.ref.version or 0
                await asyncio.to_thread(
                    self._notes.note_check, one.publisher, one.ref.id, version, found, now
                )

    async def last_checks(self, named: Sequence[tuple[str, str, int]]) -> list[LastCheck | None]:
        """Return what the last verification of each version measured, of versions by publisher, id and number.

        Example:
            ``await catalog.last_checks([("acme", "handbook", 3)])``
        """
        await self._freshen()
        return [self._notes.last_check(*one) for one in named]

    async def _freshen(self) -> None:
        now = time.monotonic()
        if now - self._read_at > _FRESH_S or not self._read_at:
            self._read_at = now
            await asyncio.to_thread(self._notes.refresh)

    def _entry(self, one: OfferedDocument, terms: DocumentTerms) -> KvCatalogEntry:
        counted = self._notes.reads(one.publisher, one.name)
        return {
            "object": "kv_catalog_entry",
            "document": one.name,
            "id": one.ref.id,
            "version": one.ref.version or 0,
            "current": one.current,
            "sha256": one.sha256,
            "publisher": one.publisher,
            "visibility": one.visibility,
            "licence": self._terms.licence(one.ref.id, one.publisher) or None,
            "characters": one.characters,
            "created": one.created,
            "tokens": self._tokens(one),
            "price": self._price(one, terms),
            "terms": {"id": terms.id, **terms.as_json()},
            "reads": counted.reads,
            "read_tokens": counted.tokens,
            "quarantined": one.quarantined,
            "verified": self._verified(one),
        }

    def _price(self, one: OfferedDocument, terms: DocumentTerms) -> dict[str, ReadPrice]:
        """Price a read of the whole document by reference, on the tariff of now; empty where reads are free."""
        tariff = self._tariffs.at(int(time.time() * 1000))
        if tariff is None:
            return {}
        sold = {name: n for name, n in self._tokens(one).items() if tariff.prices(name) is not None}
        return {name: _read_price(name, n, one, terms, tariff) for name, n in sold.items()}

    def _tokens(self, one: OfferedDocument) -> dict[str, int]:
        """Return the document's tokens by model; of a model that has not taken it up yet none."""
        counted = {self._model: one.tokens}
        for name, library in self._others.items():
            known = library.find(one.ref)
            if known is not None and known.document.etag == one.sha256:
                counted[name] = len(known.tokenized.token_ids)
        return counted

    def _verified(self, one: OfferedDocument) -> CheckedBits | None:
        last = self._notes.last_check(one.publisher, one.ref.id, one.ref.version or 0)
        if last is None:
            return None
        return {
            "exact": last.exact,
            "checked": last.checked_ms // 1000,
            "positions": last.positions,
            "equal_positions": last.equal_positions,
            "pages": last.pages,
            "equal_pages": last.equal_pages,
        }


def _read_price(
    model: str, tokens: int, one: OfferedDocument, terms: DocumentTerms, tariff: Tariff
) -> ReadPrice:
    read = DocumentTokens(
        one.name, one.sha256, one.publisher, tokens, terms.id, by_reference=True, grant=one.grant
    )
    metered = MeteredTokens(model, tokens, tokens, 0, (read,))
    priced = charge(metered, tariff, {terms.id: terms})
    currency = priced.currency
    return {
        "read": money_body(priced.cost, currency),
        "cold": money_body(priced.cold_cost, currency),
        "saved": money_body(priced.saved, currency),
    }


def _behind(found: Sequence[OfferedDocument], after: str | None) -> int:
    """Return the place behind the entry ``after``, or behind where it would stand."""
    if after is None:
        return 0
    id, _, version = after.rpartition("@")
    place = (id, int(version)) if id and version.isdigit() else (after, 0)
    return sum((one.ref.id, one.ref.version or 0) <= place for one in found)
