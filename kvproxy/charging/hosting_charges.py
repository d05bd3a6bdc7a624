"""Charges of a publisher for what the host does for its documents: prefilling them once, and keeping their pages."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvproxy.charging.charging_parts import BudgetLookup, HoldingLedger, PriceHistory
from kvproxy.charging.publish_charges import PublishCharge, StoredDocument
from kvproxy.core import Caller, Charge, MeteredTokens
from kvproxy.errors import PaymentRequired, QuotaExceeded
from kvproxy.ledger.bookings import Booking, HoldRequest, LedgerRow, RequestKind
from kvproxy.ledger.hold import Hold
from kvproxy.ledger.ledger import unix_ms
from kvproxy.tariffs import DocumentTerms, Tariff, charge, publishing_charge, storage_charge

logger = logging.getLogger(__name__)

HOUR_MS = 3_600_000

STORED = "byte-ms:"
"""Begins the fingerprint of a storage row, before its bytes times milliseconds: the amount that its price is for. No
engine computed anything for it."""

_SLICE = 50
"""Rows that are booked in one turn of the event loop at most: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class _DueStorage:
    """The storage of one version for an hour, and its charge."""

    document: StoredDocument
    byte_ms: int
    charge: Charge


class HostingCharges:
    """Charges publishers on the ledger, by the tariff of the moment.

    Example:
        ``async with hosting.publishing(caller, tokens) as charge: ...; charge.settle(computed)``
    """

    def __init__(
        self,
        ledger: HoldingLedger,
        tariffs: PriceHistory,
        *,
        model: str,
        fingerprint: str = "",
        budgets: BudgetLookup | None = None,
        clock_ms: Callable[[], int] = unix_ms,
    ) -> None:
        """``model``: the local model, which the pages are of.

        Example: ``HostingCharges(ledger, tariffs, model="qwen3-4b")``
        """
        self._ledger = ledger
        self._tariffs = tariffs
        self._model = model
        self._fingerprint = fingerprint
        self._budgets = budgets
        self._clock_ms = clock_ms

    @asynccontextmanager
    async def publishing(self, caller: Caller, tokens: int) -> AsyncIterator[PublishCharge]:
        """Hold the price of prefilling ``tokens``; what is not settled in the block is freed at its end.

        Raises PaymentRequired, QuotaExceeded.
        Example: ``async with hosting.publishing(caller, 7548) as charge: charge.settle(3774)``
        """
        tariff, model = self._sold(self._clock_ms()), self._model
        id = f"publish_{uuid.uuid4().hex}"
        most = 0 if tariff is None else publishing_charge(model, tokens, tariff).cost
        budgets = () if self._budgets is None else self._budgets.budgets_of(caller)

        def book(computed: int) -> None:
            metered = MeteredTokens(model, min(computed, tokens), 0, 0)
            charged = (
                _nothing() if tariff is None else publishing_charge(model, metered.prompt_tokens, tariff)
            )
            hold.settle(self._booking(id, caller, metered, charged, "publish", self._fingerprint))

        with await self._ledger.hold(HoldRequest(id, caller, most, tokens, budgets)) as hold:
            yield PublishCharge(book)

    async def book_hour(self, documents: Callable[[], Iterable[StoredDocument]], hour: int) -> int:
        """Book the storage of one hour, counted since 1970, for each document; return how many rows are new or were
        booked before.

        ``documents`` is called on a worker thread: they may be very many. It is not called where storage is free.
        A row's id names tenant, version and hour, so that the ledger books it once, also after a restart. A publisher
        whose balance does not cover it is logged, and owes nothing: no balance is ever overdrawn.

        Example: ``await hosting.book_hour(publisher.stored, unix_ms() // HOUR_MS - 1)``
        """
        tariff = self._sold((hour + 1) * HOUR_MS - 1)
        if tariff is None or self._stores_free(tariff):
            return 0
        booked = 0
        due = await asyncio.to_thread(lambda: list(_due(documents(), hour, self._model, tariff)))
        for number, storage in enumerate(due, 1):
            booked += await self._book_storage(storage, hour)
            # A hold of money that is at hand waits for nothing.
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return booked

    async def _book_storage(self, storage: _DueStorage, hour: int) -> bool:
        document, charged = storage.document, storage.charge
        id = f"storage:{document.owner.name}:{document.name}:{hour}"
        try:
            hold: Hold = await self._ledger.hold(HoldRequest(id, document.owner, charged.cost))
        except (PaymentRequired, QuotaExceeded) as e:
            logger.warning("storage of %s in hour %d is not paid: %s", document.name, hour, e.message)
            return False
        with hold:
            nothing = MeteredTokens(self._model, 0, 0, 0)
            stored = f"{STORED}{storage.byte_ms}"
            hold.settle(self._booking(id, document.owner, nothing, charged, "storage", stored))
        return True

    def _sold(self, at_ms: int) -> Tariff | None:
        tariff = self._tariffs.at(at_ms)
        return tariff if tariff is not None and tariff.prices(self._model) is not None else None

    def _stores_free(self, tariff: Tariff) -> bool:
        prices = tariff.prices(self._model)
        return prices is None or prices.storage_mb_hour == 0

    def _booking(
        self,
        id: str,
        caller: Caller,
        metered: MeteredTokens,
        charged: Charge,
        kind: RequestKind,
        fingerprint: str,
    ) -> Booking:
        return Booking(
            request_id=id,
            at_ms=self._clock_ms(),
            tenant=caller.name,
            key=caller.key,
            metered=metered,
            charge=charged,
            kind=kind,
            fingerprint=fingerprint,
        )


def _due(documents: Iterable[StoredDocument], hour: int, model: str, tariff: Tariff) -> Iterator[_DueStorage]:
    """Yield what costs something. They may be very many: for a worker thread."""
    begin = hour * HOUR_MS
    for document in documents:
        byte_ms = document.bytes * max(0, begin + HOUR_MS - max(document.created_ms, begin))
        charged = storage_charge(model, byte_ms, tariff)
        if charged.cost:
            yield _DueStorage(document, byte_ms, charged)


def reprice(row: LedgerRow, tariff: Tariff, terms: dict[str, DocumentTerms]) -> Charge:
    """Return what a row of any kind costs by its tariff and terms, for the ledger's check. Raises ValueError as the
    tariff's functions do.

    Example: ``reprice(row, tariffs.by_id(row.tariff), {FREE.id: FREE})``
    """
    if row.kind == "publish":
        return publishing_charge(row.model, row.metered.prompt_tokens, tariff)
    if row.kind == "storage":
        return storage_charge(row.model, int(row.fingerprint.removeprefix(STORED)), tariff)
    return charge(row.metered, tariff, terms)


def _nothing() -> Charge:
    return Charge("", 0, 0, 0, (), "")
