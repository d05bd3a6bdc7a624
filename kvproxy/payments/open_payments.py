"""`open_payments`: the methods of payment from their settings; what a crash left open is finished."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from kvproxy.database.database import Database
from kvproxy.errors import SetupError
from kvproxy.payments.facilitator_client import Facilitator, RemoteFacilitator
from kvproxy.payments.payment_method import CreditedLedger, PaymentMethod
from kvproxy.payments.payment_registry import Payments
from kvproxy.payments.payment_rows import PaymentRows
from kvproxy.payments.payment_settlement import Booked, PaymentSettlement
from kvproxy.payments.token_asset import KNOWN_ASSETS, TokenAsset
from kvproxy.payments.topup_limits import TopupLimits

logger = logging.getLogger(__name__)

_AGAIN_S = 60.0
_ANOTHER_PROCESS_MS = 120_000
_ABANDONED_SLACK_MS = 60_000
FACILITATOR_FILE = "local-facilitator.json"


@dataclass(frozen=True, slots=True)
class PaymentPlan:
    """The settings of ``payments`` as plain values. See config.example.yaml."""

    methods: Sequence[str] = ()
    recipient: str = ""
    asset: TokenAsset = KNOWN_ASSETS["base-sepolia-usdc"]
    facilitator: str = ""
    currency: str = "USD"
    realm: str = "kvproxy"
    public_url: str = "http://127.0.0.1:8321"
    limits: TopupLimits = field(default_factory=TopupLimits)
    longest_s: int = 600
    """The time that a request may take; an authorisation has to outlast it."""
    local_wallets: Mapping[str, int] = field(default_factory=dict)
    """Nano-units by address, for ``facilitator: local``."""


@asynccontextmanager
async def open_payments(
    plan: PaymentPlan,
    database: Database,
    ledger: CreditedLedger,
    *,
    secret: bytes,
    folder: Path,
    booked: Booked,
) -> AsyncIterator[Payments]:
    """Open the configured methods; at the end of the block the background work ends. Raises SetupError.

    ``secret`` keys the challenges; ``booked`` says what the ledger booked against a payment's id. Without methods
    nothing is imported and nothing runs.

    Example:
        ``async with open_payments(plan, database, ledger, secret=secret, folder=store, booked=booked) as payments``
    """
    if not plan.methods:
        yield Payments((), plan.limits, plan.public_url, plan.currency)
        return
    async with AsyncExitStack() as stack:
        rows = PaymentRows(database)
        key = hmac.new(secret, b"kvproxy payment challenges", hashlib.sha256).hexdigest()
        try:
            facilitator = await _facilitator(plan, folder, stack)
            settlement = PaymentSettlement(rows, facilitator, ledger, plan.asset)
            methods = await asyncio.to_thread(_methods, plan, rows, settlement, facilitator, key)
        except ImportError as e:
            raise SetupError(
                f"payments.methods needs a package that is not installed ({e.name}): pip install 'kvproxy[x402]'"
            ) from e
        another_ms = 0 if database.is_sqlite else _ANOTHER_PROCESS_MS
        abandoned_ms = 0 if database.is_sqlite else plan.longest_s * 1000 + _ABANDONED_SLACK_MS
        await settlement.finish(booked, older_than_ms=another_ms, abandoned_ms=abandoned_ms)
        await stack.enter_async_context(_finishing(settlement, booked, plan.longest_s))
        yield Payments(methods, plan.limits, plan.public_url, plan.currency)


async def _facilitator(plan: PaymentPlan, folder: Path, stack: AsyncExitStack) -> Facilitator:
    if plan.facilitator == "local":
        logger.warning("payments.facilitator is 'local': payments are checked, and no money moves")
        from kvproxy.payments.local_facilitator import LocalFacilitator

        wallets = {address: plan.asset.units_for(nano) for address, nano in plan.local_wallets.items()}
        return await asyncio.to_thread(LocalFacilitator, plan.asset, wallets, folder / FACILITATOR_FILE)
    client = await stack.enter_async_context(httpx.AsyncClient())
    return RemoteFacilitator(plan.facilitator, client)


def _methods(
    plan: PaymentPlan, rows: PaymentRows, settlement: PaymentSettlement, facilitator: Facilitator, key: str
) -> list[PaymentMethod]:
    """Make the methods, blocking: this imports pympp and x402, a second and more."""
    from kvproxy.payments.balance_payments import BalancePayments
    from kvproxy.payments.exact_payments import ExactPayments
    from kvproxy.payments.upto_payments import UptoPayments

    made: list[PaymentMethod] = []
    for name in plan.methods:
        if name == "kvbalance":
            made.append(BalancePayments(rows, realm=plan.realm, secret=key))
        elif name == "evm":
            made.append(ExactPayments(settlement, plan.asset, plan.recipient, realm=plan.realm, secret=key))
        else:
            made.append(
                UptoPayments(
                    settlement,
                    facilitator,
                    plan.asset,
                    plan.recipient,
                    realm=plan.realm,
                    secret=key,
                    longest_s=plan.longest_s,
                )
            )
    return made


@asynccontextmanager
async def _finishing(settlement: PaymentSettlement, booked: Booked, longest_s: int) -> AsyncIterator[None]:
    """Finish now and then what an unclear answer of the facilitator left open, until the end of the block."""
    ended = asyncio.Event()
    task = asyncio.create_task(_finish_until(ended, settlement, booked, longest_s))
    try:
        yield
    finally:
        # Never cancelled: a payment that is being settled then is credited, and the database closes after it.
        ended.set()
        await task


async def _finish_until(
    ended: asyncio.Event, settlement: PaymentSettlement, booked: Booked, longest_s: int
) -> None:
    abandoned_ms = longest_s * 1000 + _ABANDONED_SLACK_MS
    while not ended.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN_S):
                await ended.wait()
                return
        try:
            await settlement.finish(booked, older_than_ms=_ANOTHER_PROCESS_MS, abandoned_ms=abandoned_ms)
        except Exception:  # a database that is away for a minute; the next round tries again
            logger.exception("open payments could not be finished; the next try is in %s s", _AGAIN_S)
