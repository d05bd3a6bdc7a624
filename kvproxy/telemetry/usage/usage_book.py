"""`UsageBook`: the usage figures of every tenant and document: counted in memory, added up in the database.

What is shown is the sum of what the database has, of all processes, and of what this one has not written yet.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kvproxy.core import DocumentRef
from kvproxy.errors import KVProxyError
from kvproxy.telemetry.usage.document_use import DocumentDay, DocumentUse
from kvproxy.telemetry.usage.document_uses import MOST_UNWRITTEN, DocumentUses
from kvproxy.telemetry.usage.ended_request import EndedRequest
from kvproxy.telemetry.usage.tenant_usage import TenantUsage
from kvproxy.telemetry.usage.usage_overview import MissEntry, UsageOverview
from kvproxy.telemetry.usage.usage_store import DAY_S, EVERYBODY, DocumentKey, UsageKey, UsageStore
from kvproxy.telemetry.usage.usage_sums import UsageSums, UsageTally

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_TENANTS = 500
"""Tenants in memory; the one that was seen longest ago makes room, and is read again when it comes back."""

WRITE_S = 15.0
"""Seconds between two writes: a kill loses no more figures than these. Money is the ledger's, which loses none."""

FRESH_S = 5.0
"""Seconds until figures that are looked at are read again: other processes add theirs."""

EXPIRE_S = 3600.0

RECALL_S = 2.0
"""Seconds that a reader of figures waits for the database; after that it sees what is in memory."""


class UsageBook:
    """Figures by tenant, under the tenants' names (``Caller.name``). Event loop only; SQL runs on threads.

    Example: ``usage = UsageBook(); usage.note(ended); await usage.overview("alice")``
    """

    def __init__(
        self,
        store: UsageStore | None = None,
        saved_us: Callable[[str, int], int] = lambda model, tokens: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``store``: None keeps the figures in memory alone. ``saved_us``: microseconds that a prefill of so many
        tokens of a model takes, as :meth:`PrefillRates.saved_us` tells."""
        self.saved_us = saved_us
        self._store = store
        self._clock = clock
        self._everybody = TenantUsage(EVERYBODY)
        self._tenants: OrderedDict[str, TenantUsage] = OrderedDict()
        self._left: dict[UsageKey, UsageTally] = {}
        """Unrecorded sums of tenants that made room for others."""
        self._documents = DocumentUses()
        self._unsure: _Batch | None = None
        """The batch that was being written when the database failed: nobody knows yet whether it counts."""
        self._exchanging = asyncio.Lock()

    def note(self, ended: EndedRequest) -> None:
        """Count a request that has ended. O(1) and a few microseconds."""
        miss = _entry(ended) if ended.hit is False and ended.retain else None
        self._tenant(ended.tenant).count(ended, miss)
        self._everybody.count(ended, None if miss is None else replace(miss, document=None))
        self._documents.count(ended)

    async def overview(
        self, tenant: str | None, now: float | None = None, *, series: bool = True
    ) -> UsageOverview:
        """Return the figures of a tenant by its name, or of all tenants together for None: an operator's view.
        Without ``series`` its points are left out, which cost more than the rest.

        Example: ``figures = await usage.overview(caller.name)``
        """
        usage = self._everybody if tenant is None else self._tenant(tenant)
        if abs(self._clock() - usage.read_at) > FRESH_S:  # of a clock that was put back, too
            await self._recall(usage, EVERYBODY if tenant is None else tenant)
        return usage.overview(self._clock() if now is None else now, series=series)

    def misses(self, tenant: str | None, most: int, cause: str | None = None) -> list[MissEntry]:
        """Return the newest misses of a tenant, newest first; for None those of all tenants, without their documents.

        Example: ``usage.misses(caller.name, 20, "timestamp")``
        """
        usage = self._everybody if tenant is None else self._tenants.get(tenant)
        return [] if usage is None else usage.misses(most, cause)

    async def documents(
        self, refs: Sequence[DocumentRef], tenant: str | None
    ) -> Mapping[DocumentRef, DocumentUse]:
        """Return the uses of document versions by one reader; for None by all readers, which is for the documents'
        publisher and the operator alone.

        Example: ``(await usage.documents([ref], caller.name))[ref].reads``
        """
        reader = EVERYBODY if tenant is None else tenant
        nothing: dict[DocumentRef, DocumentUse] = {}
        recorded = await self._read(lambda store: store.document_uses(refs, reader), nothing)
        return {ref: recorded.get(ref, DocumentUse()) + self._documents.use(ref, reader) for ref in refs}

    async def document_days(self, ref: DocumentRef, tenant: str | None) -> tuple[DocumentDay, ...]:
        """Return a version's uses by day, oldest first, of the days that had any; readers as for :meth:`documents`.

        Example: ``days = await usage.document_days(ref, None)``
        """
        reader = EVERYBODY if tenant is None else tenant
        nothing: list[DocumentDay] = []
        recorded = await self._read(lambda store: store.document_days(ref, reader), nothing)
        return _by_day([*recorded, *self._documents.days(ref, reader)])

    async def write(self) -> None:
        """Add to the database what it lacks, and read what other processes added. A failure is logged, and tried again
        with the next write."""
        if self._store is None:
            return
        async with self._exchanging:
            await self._write(self._store)

    async def run(self) -> None:
        """Write every ``WRITE_S`` until cancelled; what was counted last is written then too. Every hour old days are
        deleted."""
        expired_at = -math.inf
        try:
            while True:
                await self.write()
                if time.monotonic() - expired_at > EXPIRE_S:
                    expired_at = time.monotonic()
                    await self._read(lambda store: store.expire(self._day()), None)
                await asyncio.sleep(WRITE_S)
        finally:
            await self.write()

    def _day(self) -> int:
        return int(self._clock() // DAY_S)

    def _tenant(self, name: str) -> TenantUsage:
        usage = self._tenants.get(name)
        if usage is not None:
            self._tenants.move_to_end(name)
            return usage
        usage = self._tenants[name] = TenantUsage(name)
        if len(self._tenants) > MOST_TENANTS:
            _, old = self._tenants.popitem(last=False)
            self._keep(old.leave())
        return usage

    def _keep(self, sums: Mapping[UsageKey, UsageSums]) -> None:
        """Keep what is not recorded of tenants that made room: as much as waits of documents at most."""
        for key, one in sums.items():
            if key in self._left or len(self._left) < MOST_UNWRITTEN:
                self._left.setdefault(key, UsageTally()).add(one)

    async def _write(self, store: UsageStore) -> None:
        try:
            await self._settle(store)
            if (batch := self._take()) is None:
                return
            self._unsure = batch
            await asyncio.to_thread(store.add, batch.days, batch.documents)
        except KVProxyError as e:
            logger.warning("usage could not be recorded: %s", e.message)
            return
        self._written(batch)

    async def _settle(self, store: UsageStore) -> None:
        """Find out whether the last batch counts, where its write has failed: its commit may have been answered by
        nobody. Until then it is in memory, and nothing is read from the database, which may have it too. Raises
        Unavailable."""
        if (batch := self._unsure) is None:
            return
        if await asyncio.to_thread(store.landed):
            self._written(batch)
        else:
            self._give_back(batch)

    def _take(self) -> _Batch | None:
        shown = {EVERYBODY: self._everybody, **self._tenants}
        left, self._left = self._left, {}
        days: dict[UsageKey, UsageSums] = {key: tally.sums() for key, tally in left.items()}
        for usage in shown.values():
            days.update(usage.take())
        documents = self._documents.take()
        return _Batch(days, documents, left, shown) if days or documents else None

    def _written(self, batch: _Batch) -> None:
        self._unsure = None
        for usage in batch.shown.values():
            usage.written()
        self._documents.written()

    def _give_back(self, batch: _Batch) -> None:
        self._unsure = None
        self._keep({key: tally.sums() for key, tally in batch.left.items()})
        for name, usage in batch.shown.items():
            usage.give_back()
            if name and self._tenants.get(name) is not usage:  # it made room meanwhile
                self._keep(usage.leave())
        self._documents.give_back()

    async def _recall(self, usage: TenantUsage, name: str) -> None:
        if usage.recorded is not None:
            usage.read_at = self._clock()  # others see what was read before; of nothing they wait
        found = await self._read(lambda store: store.recorded(name, self._day()), None)
        usage.read_at = self._clock()
        usage.recorded = found or usage.recorded

    async def _read(self, read: Callable[[UsageStore], T], otherwise: T) -> T:
        """Read from the database between two writes; ``otherwise`` where it does not answer in time."""
        if (store := self._store) is None:
            return otherwise
        try:
            async with asyncio.timeout(RECALL_S), self._exchanging:
                await self._settle(store)
                return await asyncio.to_thread(read, store)
        except (KVProxyError, TimeoutError) as e:
            logger.warning("recorded usage could not be read: %s", e)
            return otherwise


@dataclass(frozen=True, slots=True)
class _Batch:
    """Sums on their way to the database, and where they came from."""

    days: Mapping[UsageKey, UsageSums]
    documents: Mapping[DocumentKey, DocumentUse]
    left: Mapping[UsageKey, UsageTally]
    shown: Mapping[str, TenantUsage]


def _entry(ended: EndedRequest) -> MissEntry:
    return MissEntry(
        id=ended.id,
        at=ended.at,
        tenant=ended.tenant,
        model=ended.model,
        reason=ended.reason or "unknown",
        cause=ended.cause or "unknown",
        document=ended.document,
        prompt_tokens=ended.prompt_tokens,
        cached_tokens=ended.cached_tokens,
        ttft_s=ended.ttft_s,
        answer=ended.answer,
    )


def _by_day(each: Iterable[DocumentDay]) -> tuple[DocumentDay, ...]:
    days: dict[int, DocumentUse] = {}
    for one in each:
        days[one.day] = days.get(one.day, DocumentUse()) + one.use
    return tuple(DocumentDay(day, use) for day, use in sorted(days.items()))
