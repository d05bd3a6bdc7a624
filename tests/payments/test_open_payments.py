"""Opening: nothing is imported without methods, and what a crash left open is finished before the first request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kvproxy.database.database import Database
from kvproxy.errors import PaymentRequired, SetupError
from kvproxy.payments.facilitator_server import facilitator_server
from kvproxy.payments.local_facilitator import LocalFacilitator
from kvproxy.payments.open_payments import FACILITATOR_FILE, PaymentPlan, open_payments
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.payments.payment_rows import PaymentRows
from tests.payments.conftest import nothing_booked
from tests.payments.paying import RECIPIENT, URL, MemoryLedger, mpp_exact, wallet

TOPUP = PaymentDemand("alice", 10**9, "USD", URL)


def test_without_methods_neither_protocol_is_imported() -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from kvproxy.payments.open_payments import PaymentPlan, open_payments\n"
        "async def main():\n"
        "    async with open_payments(PaymentPlan(), None, None, secret=b'', folder=Path('.'), booked=None): pass\n"
        "asyncio.run(main())\n"
        "print(*{name.split('.')[0] for name in sys.modules} & {'mpp', 'x402', 'eth_account', 'web3'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


async def test_a_restart_finishes_what_was_settled(
    database: Database, ledger: MemoryLedger, rows: PaymentRows, tmp_path: Path
) -> None:
    plan = PaymentPlan(
        methods=("evm",),
        recipient=RECIPIENT,
        facilitator="local",
        local_wallets={wallet().address: 5 * 10**9},
    )
    ledger.fail = 1
    async with open_payments(
        plan, database, ledger, secret=b"s", folder=tmp_path, booked=nothing_booked
    ) as payments:
        with pytest.raises(PaymentRequired) as asked:
            await payments.topup({}, TOPUP)
        with pytest.raises(ConnectionError):
            await payments.topup(await mpp_exact(asked.value.headers, wallet()), TOPUP)
    assert ledger.credits == {} and len(rows.unfinished(("settled",), 2**62)) == 1
    assert (tmp_path / FACILITATOR_FILE).exists()
    if not database.is_sqlite:
        return  # another process may be at it there: the row is left for two minutes
    async with open_payments(plan, database, ledger, secret=b"s", folder=tmp_path, booked=nothing_booked):
        assert ledger.balance("alice") == 10**9


async def test_a_facilitator_by_url(
    database: Database, ledger: MemoryLedger, facilitator: LocalFacilitator, tmp_path: Path
) -> None:
    with facilitator_server(facilitator) as url:
        plan = PaymentPlan(methods=("evm", "upto"), recipient=RECIPIENT, facilitator=url)
        async with open_payments(
            plan, database, ledger, secret=b"s", folder=tmp_path, booked=nothing_booked
        ) as payments:
            headers = dict(await payments.challenge(TOPUP))
            done = await payments.topup(await mpp_exact(headers, wallet()), TOPUP)
    assert facilitator.chain.balance(RECIPIENT) == 1_000_000 and done.balance == 10**9
    assert not (tmp_path / FACILITATOR_FILE).exists()


async def test_a_facilitator_that_is_away_offers_no_upto(
    database: Database, ledger: MemoryLedger, tmp_path: Path
) -> None:
    plan = PaymentPlan(methods=("kvbalance", "upto"), recipient=RECIPIENT, facilitator="http://127.0.0.1:9")
    async with open_payments(
        plan, database, ledger, secret=b"s", folder=tmp_path, booked=nothing_booked
    ) as payments:
        headers = await payments.challenge(TOPUP)
    assert "kvbalance" in headers["WWW-Authenticate"] and "PAYMENT-REQUIRED" not in headers


async def test_a_missing_package_is_a_setup_error(
    database: Database, ledger: MemoryLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "x402", None)
    plan = PaymentPlan(methods=("evm",), recipient=RECIPIENT, facilitator="local")
    with pytest.raises(SetupError, match=r"kvproxy\[x402\]"):
        async with open_payments(plan, database, ledger, secret=b"s", folder=tmp_path, booked=nothing_booked):
            pass
