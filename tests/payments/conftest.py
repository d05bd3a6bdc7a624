"""Fixtures of tests of payments: a ledger in memory, the local facilitator, and the configured methods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables import payment_tables
from kvproxy.payments.local_facilitator import LocalFacilitator
from kvproxy.payments.open_payments import PaymentPlan, open_payments
from kvproxy.payments.payment_registry import Payments
from kvproxy.payments.payment_rows import PaymentRows
from kvproxy.payments.payment_settlement import PaymentSettlement
from tests.payments.paying import ASSET, RECIPIENT, MemoryLedger, wallet


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def database(a_database: Database) -> Database:
    METADATA.create_all(a_database.engine, tables=[payment_tables.PAYMENTS])
    return a_database


@pytest.fixture
def rows(database: Database) -> PaymentRows:
    return PaymentRows(database)


@pytest.fixture
def facilitator() -> LocalFacilitator:
    return LocalFacilitator(ASSET, {wallet(1).address: 5_000_000, wallet(2).address: 1_000})


@pytest.fixture
def settlement(rows: PaymentRows, facilitator: LocalFacilitator, ledger: MemoryLedger) -> PaymentSettlement:
    return PaymentSettlement(rows, facilitator, ledger, ASSET)


@pytest.fixture
async def payments(database: Database, ledger: MemoryLedger, tmp_path: Path) -> AsyncIterator[Payments]:
    plan = PaymentPlan(
        methods=("kvbalance", "evm", "upto"),
        recipient=RECIPIENT,
        facilitator="local",
        local_wallets={wallet(1).address: 5 * 10**9, wallet(2).address: 10**6},
    )
    async with open_payments(
        plan, database, ledger, secret=b"s" * 32, folder=tmp_path, booked=nothing_booked
    ) as opened:
        yield opened


async def nothing_booked(payment: str) -> int | None:
    return None
