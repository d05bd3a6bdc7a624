"""The bench of explained misses measures real comparisons."""

from __future__ import annotations

from pathlib import Path

from kvproxy.bench.explain_cost import bench_explain
from tests.documents.models import TEXTS, write_model


def test_every_round_finds_the_date(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", "qwen3")
    text = (TEXTS / "apache-2.0.txt").read_text(encoding="utf-8")[:3000]
    result = bench_explain(folder, text, rounds=3)
    assert result["causes"] == ["timestamp"] and result["kept"] == 3 and result["tokens"] > 256
    assert 0 < result["cause_ms"] and 0 < result["compose_ms"]
