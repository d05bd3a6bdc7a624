"""The bench of long lists asks a real server, whose lists have what was put into its library."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.watched.list_speed import bench_lists, list_cases
from kvproxy.bench.watched.print_watched import print_lists
from tests.documents.models import write_model


def test_each_tenant_asks_for_the_same_lists() -> None:
    cases = [(case.name, case.path) for case in list_cases(1000)]
    assert len(cases) == 3 * len(set(cases))


@pytest.mark.e2e
@pytest.mark.slow
def test_lists_of_both_libraries_are_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = bench_lists(200, model_folder=write_model(tmp_path / "model", "qwen3"), times=2)
    for rows in result["libraries"].values():
        assert len(rows) == 1 + 2 * len(list(list_cases(200)))
        assert all(0 < row["p50"] <= row["p99"] and row["cpu_ms"] >= 0 for row in rows)
    sizes = {
        visibility: {row["tenant"]: row["bytes"] for row in rows if row["case"] == "by reads"}
        for visibility, rows in result["libraries"].items()
    }
    assert sizes["private"]["operator"] < sizes["public"]["operator"], "it sees none of the private ones"
    assert sizes["private"]["owner"] > sizes["private"]["reader"] > sizes["private"]["operator"]
    print_lists(result)
    assert "200 private documents" in capsys.readouterr().out
