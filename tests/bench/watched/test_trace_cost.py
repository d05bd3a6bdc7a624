"""The bench of traces sends real spans of the one server that samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.watched import trace_cost
from kvproxy.bench.watched.print_watched import print_trace_cost
from kvproxy.bench.watched.trace_cost import NONE, SAMPLED, UNSAMPLED, bench_traces
from tests.documents.models import write_model


@pytest.mark.e2e
@pytest.mark.slow
def test_only_sampled_requests_are_sent_to_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trace_cost, "SETTLE_S", 0.1)
    result = bench_traces(20, 2, model_folder=write_model(tmp_path / "model", "qwen3"))
    assert {name: len(row["each_ms"]) for name, row in result["traces"].items()} == {
        NONE: 2,
        UNSAMPLED: 2,
        SAMPLED: 2,
    }
    assert result["traces"][NONE]["ratio"] == 1.0
    print_trace_cost(result)
    assert "on, not sampled" in capsys.readouterr().out
