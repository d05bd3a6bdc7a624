"""A few of the kills that ``tests.e2e.ledger_kills`` does by the dozen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.ledger_kills import run

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_ledger_has_what_the_clients_counted(smollm2: Path, tmp_path: Path) -> None:
    found = run(tmp_path, smollm2, kills=4, seed=11)
    assert found.faults == ()
    assert found.whole > 0 and found.cut > 0, "nothing was asked, or nothing was killed"
