from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.match_bench import PHASES, MatchPlan, bench_match, print_match
from tests.documents.models import write_model


def test_the_figures_are_of_hits_among_so_many_documents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[tuple[int, int]] = []
    plan = MatchPlan(documents=(60, 400), tokens=1_500, requests=4)
    folder = write_model(tmp_path / "model", "qwen3")
    result = bench_match(folder, plan, lambda done, total: steps.append((done, total)))
    assert [row["documents"] for row in result["match"]] == [60, 400] and steps == [(60, 460), (460, 460)]
    assert result["tokens"] >= 1_500 and result["characters"] > result["tokens"]
    for row in result["match"]:
        assert all(0 < row[phase]["p50_us"] <= row[phase]["p99_us"] for phase in PHASES)
    print_match(result)
    assert "400" in capsys.readouterr().out
