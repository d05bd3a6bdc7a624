"""`examples/fleet.py` as a person runs it, on fake replicas: two proxies on one PostgreSQL, and a client of both."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kvproxy.bench.private_postgres import programs

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.skipif(programs() is None, reason="there is no PostgreSQL server on this machine")
@pytest.mark.usefixtures("smollm2")
def test_both_proxies_answer_from_the_blocks_that_one_published() -> None:
    variables = {name: value for name, value in os.environ.items() if name != "KVPROXY_BASE_URL"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "fleet.py"), "--fake", "--max-tokens", "4"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    hits = re.findall(r"(proxy-[ab]) .* ([\d,]+) +│ ([\d,]+) +│.*kvproxy; hit; key=", done.stdout)
    assert {proxy for proxy, _, _ in hits} == {"proxy-a", "proxy-b"}, done.stdout
    assert all(int(cached.replace(",", "")) > 1_000 for _, _, cached in hits)
    assert len(set(re.findall(r"│ system  │ (replica-\d)", done.stdout))) == 1, (
        "both proxies name one replica"
    )
