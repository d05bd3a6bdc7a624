"""The figures are of a real walk: each answer of the benchmark is admitted by its grammar."""

from __future__ import annotations

import json
from pathlib import Path

from kvproxy.bench.grammar_overhead import CASES, bench_grammar
from tests.documents.models import write_model


def test_every_case_is_measured(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "qwen3")
    (folder / "config.json").write_text(json.dumps({"vocab_size": 3000}))
    result = bench_grammar(folder, repeats=2)
    assert result["vocabulary"] == 3000
    assert [row["grammar"] for row in result["grammars"]] == list(CASES)
    for row in result["grammars"]:
        assert row["tokens"] > 50
        assert 0 < row["mask_p50_us"] <= row["mask_p95_us"]
        assert row["compile_ms"] > 0 and row["accept_mean_us"] > 0
