"""A small run of the ledger's bench, on both databases: its figures come from rows that check."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.ledger_bench import bench_ledger, print_ledger


def test_the_bench_books_what_it_measures(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = bench_ledger(tmp_path, requests=100, rate=5000.0, postgres=postgres_url)
    for name in ("sqlite", "postgresql"):
        one = result[name]
        assert (one["rows"], one["faults"]) == (401, 0)
        assert 0 < one["paced"]["p50_us"] <= one["paced"]["p99_us"] and one["rows_per_s"] > 0
    print_ledger(result)
    assert "postgresql" in capsys.readouterr().out
