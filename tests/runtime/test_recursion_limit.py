"""A client's nested JSON must not reach the end of the C stack because of a library's import."""

from __future__ import annotations

import subprocess
import sys

import pytest

PAYER = "from kvproxy.client.evm_payer import EvmPayer; EvmPayer(b'1' * 32)"
FACILITATOR = (
    "from kvproxy.payments.local_facilitator import LocalFacilitator\n"
    "from kvproxy.payments.token_asset import KNOWN_ASSETS\n"
    "LocalFacilitator(KNOWN_ASSETS['base-sepolia-usdc'])"
)
EXACT = (
    "from kvproxy.payments.exact_payments import ExactPayments\n"
    "from kvproxy.payments.token_asset import KNOWN_ASSETS\n"
    "ExactPayments(None, KNOWN_ASSETS['base-sepolia-usdc'], '0x' + '1' * 40, realm='r', secret='s')\n"
    "import mpp.methods.evm.client"
)
UPTO = (
    "from kvproxy.payments.upto_payments import UptoPayments\n"
    "from kvproxy.payments.token_asset import KNOWN_ASSETS\n"
    "UptoPayments(None, None, KNOWN_ASSETS['base-sepolia-usdc'], '0x' + '1' * 40, realm='r', secret='s', longest_s=9)"
)


@pytest.mark.parametrize(
    "program", [PAYER, FACILITATOR, EXACT, UPTO], ids=["payer", "local", "exact", "upto"]
)
def test_payments_leave_the_recursion_limit_as_it_is(program: str) -> None:
    after = "\nimport sys; print('eth_account' in sys.modules, sys.getrecursionlimit())"
    shown = subprocess.run(
        [sys.executable, "-c", program + after], capture_output=True, text=True, check=False
    )
    assert shown.stdout.split() == ["True", "1000"], shown.stderr
