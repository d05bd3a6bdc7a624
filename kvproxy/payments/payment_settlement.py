"""`PaymentSettlement`: from a checked credential to a credited account, exactly once, through crashes and retries.

The order is what makes it so. A row is written before the facilitator is asked, with all that it is asked; the
transaction is written before the ledger is; the ledger credits an id once. A restart repeats the step that a row says
was next: the facilitator takes a nonce once, so asking again cannot take twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from kvproxy.core import format_nano
from kvproxy.errors import AlreadyUsed, PaymentRequired, Unavailable
from kvproxy.payments.facilitator_client import Facilitator, FacilitatorUnclear, Json
from kvproxy.payments.payment_method import CreditedLedger
from kvproxy.payments.payment_rows import PaymentRow, PaymentRows
from kvproxy.payments.token_asset import TokenAsset
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)

PENDING = "settlement_pending"
"""x402's reason for a transfer that was sent and is not confirmed: asking again later is safe."""

NONCE_SPENT = ("nonce_already_used", "invalid_nonce")
"""Ends of x402's reasons for a nonce that was spent before."""

Booked = Callable[[str], Awaitable[int | None]]
"""Returns what the ledger booked against a payment's id, in nano-units; None where nothing."""


@dataclass(frozen=True, slots=True)
class CreditedPayment:
    """A payment that is in the ledger."""

    payment: str
    transaction: str
    nano: int
    balance: int


class PaymentSettlement:
    """The one writer of payments' rows."""

    def __init__(
        self, rows: PaymentRows, facilitator: Facilitator, ledger: CreditedLedger, asset: TokenAsset
    ) -> None:
        """Take the parts.

        Example:
            ``PaymentSettlement(PaymentRows(database), LocalFacilitator(asset), ledger, asset)``
        """
        self._rows = rows
        self._facilitator = facilitator
        self._ledger = ledger
        self._asset = asset
        self._taking: set[str] = set()
        """Ids that requests of this process are settling, which `finish` leaves to them."""

    async def check(self, payment: Json, requirements: Json) -> None:
        """Ask the facilitator whether a payment would be taken. Raises PaymentRequired with its reason, Unavailable."""
        try:
            answer = await self._facilitator.verify(payment, requirements)
        except FacilitatorUnclear as e:
            raise Unavailable(f"The payment cannot be checked now: {e}. It was not taken; try again.") from e
        if not answer["isValid"]:
            raise PaymentRequired(
                f"The facilitator refused the payment: {_reason(answer)}. Nothing was taken."
            )

    async def refuse_replay(self, id: str) -> None:
        """Raise AlreadyUsed where a payment of this id is there, with what has become of it."""
        row = (await asyncio.to_thread(self._rows.find, id)).row
        if row is not None:
            raise AlreadyUsed(_replayed(row))

    async def begin(self, row: PaymentRow) -> None:
        """Write a payment's first row. Raises AlreadyUsed for the second of two with one credential."""
        if not await asyncio.to_thread(self._rows.add, row, _now_ms()):
            await self.refuse_replay(row.id)
            raise AlreadyUsed(
                "This payment is being used by another request. Nothing was taken for this one."
            )

    async def take(self, row: PaymentRow) -> CreditedPayment:
        """Have an intended payment's units moved, and credit them; a cancelled caller does not stop it.

        Raises PaymentRequired where the facilitator refuses, Unavailable where its answer is unclear.
        """
        credited: list[CreditedPayment] = []

        async def work() -> None:
            credited.append(await self._take(row, again=False))

        self._taking.add(row.id)
        try:
            await run_to_completion(work())
        finally:
            self._taking.discard(row.id)
        return credited[0]

    async def intend(self, row: PaymentRow, units: int) -> PaymentRow:
        """Fix what an authorised payment is to take. Raises AlreadyUsed where it is not authorised any more."""
        step = await asyncio.to_thread(
            self._rows.advance, row.id, "authorised", "intended", _now_ms(), units=units
        )
        if not step:
            await self.refuse_replay(row.id)
            raise AlreadyUsed(f"Payment {row.id} was released. Nothing was taken.")
        return replace(row, state="intended", units=units)

    async def release(self, id: str) -> None:
        """Forget an authorised payment: nothing was taken, and its signature may be used again."""
        await asyncio.to_thread(self._rows.forget, id, "authorised")

    async def finish(self, booked: Booked, *, older_than_ms: int = 0, abandoned_ms: int = 0) -> int:
        """Finish what was left open, and return how many payments still are.

        ``older_than_ms`` leaves what another process may be settling right now to it. An authorisation that nothing was
        booked against is released once it is older than ``abandoned_ms``: its request cannot be running any more.

        Example:
            ``await settlement.finish(booked, older_than_ms=120_000, abandoned_ms=660_000)``
        """
        left, now = 0, _now_ms()
        rows = await asyncio.to_thread(self._rows.unfinished, ("intended", "settled"), now - older_than_ms)
        for row in rows:
            if row.id not in self._taking:
                left += await self._finished(row, self._again(row))
        for row in await asyncio.to_thread(self._rows.unfinished, ("authorised",), now):
            nano = await booked(row.id)
            if nano is not None:
                left += await self._finished(row, self._settle_late(row, nano))
        for row in await asyncio.to_thread(self._rows.unfinished, ("authorised",), now - abandoned_ms):
            await self.release(row.id)
        return left

    async def _finished(self, row: PaymentRow, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work; True when the payment stays open."""
        try:
            await work
        except Unavailable as e:
            logger.warning("payment %s stays open: %s", row.id, e.message)
            return True
        except (AlreadyUsed, PaymentRequired) as e:
            logger.warning("payment %s: %s", row.id, e.message)
        return False

    async def _again(self, row: PaymentRow) -> None:
        if row.state == "intended":
            await self._take(row, again=True)
        else:
            await self._credit(row)

    async def _settle_late(self, row: PaymentRow, nano: int) -> None:
        """Settle an authorisation whose request was booked before its process died."""
        if not row.exchange or nano <= 0:  # paid from the balance, or for nothing
            await asyncio.to_thread(self._rows.advance, row.id, "authorised", "credited", _now_ms())
            return
        units = min(self._asset.units_for(nano), row.units)
        await self._take(await self.intend(row, units), again=True)

    async def _take(self, row: PaymentRow, *, again: bool) -> CreditedPayment:
        requirements = {**row.exchange["requirements"], "amount": str(row.units)}
        try:
            answer = await self._facilitator.settle(row.exchange["payment"], requirements)
        except FacilitatorUnclear as e:
            raise Unavailable(_unclear(row, str(e)), retry_after_s=30) from e
        transaction = str(answer.get("transaction") or "")
        if not answer["success"]:
            reason = _reason(answer)
            if reason == PENDING:
                raise Unavailable(_unclear(row, "the transfer is not confirmed yet"), retry_after_s=30)
            # Asked for the first time, a spent nonce was spent elsewhere. Asked again, it was spent by the first time.
            if not (again and reason.endswith(NONCE_SPENT)):
                await asyncio.to_thread(self._rows.forget, row.id, "intended")
                raise PaymentRequired(f"The facilitator refused the payment: {reason}. Nothing was taken.")
            if not transaction:
                await asyncio.to_thread(self._rows.advance, row.id, "intended", "unclear", _now_ms())
                logger.error(
                    "payment %s: its nonce is spent and the facilitator names no transaction", row.id
                )
                raise Unavailable(_unclear(row, "its nonce is spent; the operator has to look at the chain"))
        await asyncio.to_thread(
            self._rows.advance, row.id, "intended", "settled", _now_ms(), reference=transaction
        )
        return await self._credit(replace(row, state="settled", reference=transaction))

    async def _credit(self, row: PaymentRow) -> CreditedPayment:
        nano = self._asset.nano_of(row.units)
        transaction = row.reference or ""
        balance = await self._ledger.credit(row.tenant, nano, "payment", transaction, id=row.id)
        await asyncio.to_thread(self._rows.advance, row.id, "settled", "credited", _now_ms())
        logger.info("payment %s of %s credited to %s", row.id, format_nano(nano), row.tenant)
        return CreditedPayment(row.id, transaction, nano, balance)


def _reason(answer: Json) -> str:
    reason = answer.get("invalidReason") or answer.get("errorReason") or "no reason was given"
    return str(reason)[:200]


def _replayed(row: PaymentRow) -> str:
    told = {
        "authorised": "holds for another request that is being answered",
        "intended": "is being settled",
        "settled": "is settled and will be credited",
        "credited": "was settled and credited before",
        "unclear": "waits for the operator, since the facilitator's answer was unclear",
    }[row.state]
    return (
        f"Payment {row.id} {told}. A credential pays once: nothing was taken again. Ask for a new challenge."
    )


def _unclear(row: PaymentRow, why: str) -> str:
    return (
        f"The outcome of payment {row.id} is not known ({why}). It is written down and will be credited once if it "
        "went through: look at your balance before you pay again."
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
