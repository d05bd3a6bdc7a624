"""`examples/market.py` as a person runs it: three parties over real HTTP, on the bundled model."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_document_is_sold_and_both_reads_are_proven(smollm2: Path, tmp_path: Path) -> None:
    """The example asserts what it says of the statement and of the host's margin; here the reader's figures are
    compared with one another."""
    text = tmp_path / "license.txt"
    text.write_text(
        (EXAMPLES / "documents" / "apache-2.0.txt").read_text(encoding="utf-8")[:5_000], encoding="utf-8"
    )
    variables = {name: value for name, value in os.environ.items() if name != "KVPROXY_BASE_URL"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "market.py"), "--document", str(text), "--max-tokens", "8"],
        env={**variables, "KVPROXY_COMMAND": shlex.join([sys.executable, "-m", "kvproxy"])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    reads = re.findall(r"402, authorised ([\d.]+) USDC, settled ([\d.]+) USDC", done.stdout)
    prices = re.findall(r"tokens were kept; ([\d.]+) USD, cold ([\d.]+)", done.stdout)
    assert len(reads) == len(prices) == 2, done.stdout
    unit = Decimal("0.000001")
    for (authorised, settled), (cost, cold) in zip(reads, prices, strict=True):
        assert Decimal(cost) <= Decimal(settled) < Decimal(cost) + unit
        assert Decimal(settled) < Decimal(cold) <= Decimal(authorised)
    assert "both are proven offline" in done.stdout and "by kvproxy economics" in done.stdout
