from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.bench.fair import PLACES, QUEUE, FairBenchPlan, _quantile, bench_fair
from kvproxy.bench.print_fair import print_fair
from kvproxy.bench.tenants import TenantCrowd

CROWD = TenantCrowd(sequences=PLACES + QUEUE + 5, prompt=10, answer=200, visitor=100, visits=2)
SMALL = FairBenchPlan(
    prompt_tokens=6000, streams=2, stream_prompt=20, gaps=20, hits=3, document=300, tail=10, crowd=CROWD
)


def test_the_99th_percentile_is_the_smallest_value_that_99_of_100_do_not_exceed() -> None:
    assert _quantile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert _quantile([float(n) for n in range(1, 102)], 0.99) == 100.0
    assert _quantile([3.0], 0.99) == 3.0
    assert _quantile([2.0, 1.0], 0.5) == 1.0


def test_the_dear_part_of_a_long_prompt_can_be_measured_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It raises when they were not resident."""
    print_fair(bench_fair("shape:tiny", replace(SMALL, known=700), cache_dir=tmp_path))
    assert "the first 700 of them" in capsys.readouterr().out


def test_both_ways_are_measured_on_one_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int]] = []
    result = bench_fair(
        "shape:tiny", SMALL, cache_dir=tmp_path, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(done, 5) for done in range(6)]
    assert [row["prefill"] for row in result["streams"]] == ["whole tiles", "kvproxy"]
    for row in result["streams"]:
        assert row["undisturbed"]["gaps"] >= 2 * 2 * (SMALL.gaps - 2)
        assert row["during"]["gaps"] > 0
        assert row["prefill_s"] > 0 and row["during"]["p50_s"] <= row["during"]["max_s"]
    assert result["hits"]["hits"] == 3 and 0 < result["hits"]["during_s"] <= result["hits"]["during_max_s"]
    crowd = result["crowd"]
    assert crowd["full"] and crowd["sequences"] > crowd["admitted"] >= PLACES + QUEUE
    assert crowd["waiting_after"] > 0, "the crowd was there to the end"
    assert 0 < crowd["alone_s"] and 0 < crowd["beside_s"] <= crowd["beside_max_s"]
    print_fair(result)
    shown = capsys.readouterr().out
    assert "whole tiles" in shown and "6,000" in shown and "sequences of one tenant" in shown
