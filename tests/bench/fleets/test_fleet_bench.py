from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvproxy.bench.fleets.fleet_bench import OVERCOMMIT, FleetBenchPlan, bench_fleet, trace_for
from kvproxy.bench.fleets.fleet_policies import PLACED, PRODUCT, ROUND_ROBIN, STICKY
from kvproxy.bench.fleets.fleet_tables import print_fleet
from kvproxy.bench.fleets.reading_trace import make_reading_trace
from kvproxy.bench.fleets.replica_cache import ReplicaCache, replica_cache
from tests.bench.fleets.conftest import BLOCKS, SERVED

WORDS = [f"{letter}{number}" for letter in "abcdefgh" for number in range(40)]


def test_documents_have_more_tokens_than_one_replica_holds() -> None:
    plan = trace_for(ReplicaCache(320, 32, 4096), requests=200, documents=24)
    assert plan.median_tokens == pytest.approx(OVERCOMMIT * 10240 / 24, rel=0.1)
    assert plan.least_tokens < plan.median_tokens < plan.most_tokens < 4096
    words = sum(len(text.split()) for text in make_reading_trace(plan, WORDS).documents)
    assert 0.8 * 10240 < words < 1.6 * 10240


def test_documents_fit_into_the_context() -> None:
    plan = trace_for(ReplicaCache(100_000, 16, 8192), requests=200, documents=24)
    assert plan.median_tokens <= plan.most_tokens == 8192 - 256


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_it_compares_the_product_with_others(
    smollm2: Path, fake_urls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    trace = trace_for(replica_cache(fake_urls[0]), requests=24, documents=6)
    said: list[str] = []
    plan = FleetBenchPlan(trace, SERVED, smollm2, at_once=2)
    result = bench_fleet(plan, words=WORDS, replicas=fake_urls, say=said.append)
    json.dumps(result)
    rows = {row["policy"]: row for row in result["policies"]}
    assert list(rows) == [PRODUCT, ROUND_ROBIN, STICKY, PLACED]
    assert [cache["blocks"] for cache in result["replicas"]] == [BLOCKS, BLOCKS]
    bound = result["best_possible_hit_rate"]
    assert 0.5 < bound < 1
    for row in rows.values():
        assert 0 < row["cached_tokens"] <= row["prompt_tokens"]
        assert row["hit_rate"] <= bound + 1e-3
        assert row["of_best_possible"] == pytest.approx(row["hit_rate"] / bound, rel=1e-3)
        assert row["ttft_ms"]["p50"] <= row["ttft_ms"]["p99"] <= row["whole_ms"]["p99"] * 1.001
    assert len({row["prompt_tokens"] for row in rows.values()}) == 1
    assert rows[ROUND_ROBIN]["hit_rate"] < rows[PLACED]["hit_rate"]
    assert 0 < rows[ROUND_ROBIN]["computed_anew"] <= trace.requests
    assert rows[ROUND_ROBIN]["hit_rate"] < rows[PRODUCT]["hit_rate"]
    assert rows[ROUND_ROBIN]["of_round_robin"]["ttft_p99"] == 1.0
    assert sum(line.startswith(PRODUCT) for line in said) == 3
    print_fleet(result)
    printed = capsys.readouterr().out
    assert all(policy in printed for policy in rows)
    assert f"{bound:.1%}" in printed
