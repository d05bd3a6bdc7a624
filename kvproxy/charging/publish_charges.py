"""The seam between publishing and its price: `PublishCharging`, and `FreeHosting` for proxies without a ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from kvproxy.core import Caller


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One version whose pages the host keeps."""

    name: str
    """``handbook@3``, with ``:private`` or ``:granted`` where it is not public. Unique for its publisher."""
    owner: Caller
    """Its publisher."""
    bytes: int
    created_ms: int


class PublishCharge:
    """The open charge of one publish. Nothing is booked unless ``settle`` is called."""

    def __init__(self, book: Callable[[int], None]) -> None:
        self._book = book

    def settle(self, computed: int) -> None:
        """Book the positions that were computed, at most those that were announced. Journalled when this returns."""
        if computed > 0:
            self._book(computed)


class PublishCharging(Protocol):
    """Charges publishers for new versions."""

    def publishing(self, caller: Caller, tokens: int) -> AbstractAsyncContextManager[PublishCharge]:
        """Hold the price of prefilling ``tokens`` until the block ends. Raises PaymentRequired, QuotaExceeded."""


class FreeHosting:
    """Publishing that costs nothing and is not booked."""

    @asynccontextmanager
    async def publishing(self, caller: Caller, tokens: int) -> AsyncIterator[PublishCharge]:
        """Open a charge that books nothing."""
        yield PublishCharge(lambda _: None)
