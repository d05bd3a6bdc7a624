"""`kvproxy bench fleet` as a command: it starts fake replicas, measures each policy, and writes its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvproxy.cli.app import app


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_trace_over_fake_replicas_has_figures_of_each_policy(tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    asked = ["bench", "fleet", "--fake", "2", "--requests", "10", "--documents", "2", "--json", str(file)]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    policies = json.loads(file.read_text(encoding="utf-8"))["policies"]
    assert {"kvproxy", "round robin", "sticky sessions"} <= {row["policy"] for row in policies}
    assert all(0 <= row["hit_rate"] <= 1 for row in policies)


def test_a_file_that_cannot_be_written_is_told_before_anything_starts(tmp_path: Path) -> None:
    missing = tmp_path / "no folder" / "fleet.json"
    result = CliRunner().invoke(app, ["bench", "fleet", "--fake", "1", "--json", str(missing)])
    assert result.exit_code != 0
    assert "starting" not in result.output
