from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvproxy.bench.load import LoadSamples, Request, Sample
from kvproxy.bench.proxy import HIT, LITELLM, RAW, SDK, STRAIGHT, ProxyBenchPlan, Series, bench_proxy, rows_of
from kvproxy.example_documents import example_text


def constant(total_ms: float, first_ms: float | None = None, own_ms: float | None = None) -> list[Sample]:
    def seconds(ms: float | None) -> float | None:
        return None if ms is None else ms / 1000

    return [Sample(total_ms / 1000, seconds(first_ms), seconds(own_ms))] * 10


def test_what_a_proxy_adds_is_what_the_upstream_takes_less() -> None:
    samples = LoadSamples(
        {STRAIGHT: constant(2.0), LITELLM: constant(12.0), RAW: constant(2.5, own_ms=0.3)},
        {LITELLM: 0.08, RAW: 0.004},
    )
    (row,) = rows_of(Series(Request([], 4, stream=False), 32), samples, [LITELLM, RAW])
    assert (row["streamed"], row["at_once"], row["metric"], row["requests"]) == (False, 32, "total", 10)
    assert row["straight_ms"] == {"p50": 2.0, "p99": 2.0}
    theirs, ours = row["proxies"]
    assert theirs["added_ms"] == {"p50": 10.0, "p99": 10.0}
    assert "of_litellm" not in theirs and "own_ms" not in theirs
    assert theirs["cpu_ms"] == 8.0
    assert ours["added_ms"] == {"p50": 0.5, "p99": 0.5}
    assert ours["of_litellm"] == {"p50": 0.05, "p99": 0.05}
    assert (ours["cpu_ms"], ours["own_ms"]) == (0.4, {"p50": 0.3, "p99": 0.3})


def test_a_stream_is_told_twice() -> None:
    samples = LoadSamples({STRAIGHT: constant(4.0, 1.0), RAW: constant(6.0, 1.5)})
    first, total = rows_of(Series(Request([], 4, stream=True), 1), samples, [RAW])
    assert (first["metric"], first["proxies"][0]["added_ms"]["p50"]) == ("first", 0.5)
    assert (total["metric"], total["proxies"][0]["added_ms"]["p50"]) == ("total", 2.0)
    assert "of_litellm" not in total["proxies"][0] and "cpu_ms" not in total["proxies"][0]


def test_there_is_no_ratio_to_nothing() -> None:
    samples = LoadSamples({STRAIGHT: constant(2.0), LITELLM: constant(2.0), RAW: constant(2.5)})
    (row,) = rows_of(Series(Request([], 4, stream=False), 1), samples, [LITELLM, RAW])
    assert row["proxies"][1]["of_litellm"] == {}


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_measures_the_real_proxy(smollm2: Path) -> None:
    plan = ProxyBenchPlan(sequential=3, rounds=1, burst=4, concurrency=2, warm_up=1)
    said: list[tuple[int, int]] = []
    result = bench_proxy(
        plan,
        model=str(smollm2),
        model_folder=smollm2,
        text=example_text("gpl-3.txt"),
        litellm=None,
        progress=lambda done, total: said.append((done, total)),
    )
    assert said[0] == (0, 8) and said[-1] == (8, 8)
    assert result["litellm_proxy"] is None
    kinds = [(row["streamed"], row["at_once"], row["metric"]) for row in result["upstream"]]
    assert kinds == [
        *((False, 1, "total"), (True, 1, "first"), (True, 1, "total")),
        *((False, 2, "total"), (True, 2, "first"), (True, 2, "total")),
    ]
    for row in result["upstream"]:
        assert [p["name"] for p in row["proxies"]] == [RAW, SDK]
        raw, sdk = (p["ms"]["p50"] for p in row["proxies"])
        assert 0.0 < row["straight_ms"]["p50"] < sdk and 0.0 < raw
    hit = result["hit"]
    assert 3_400 < hit["document_tokens"] < 4_100
    assert [(row["streamed"], row["at_once"], row["metric"]) for row in hit["rows"]] == kinds
    names: set[Any] = {p["name"] for row in hit["rows"] for p in row["proxies"]}
    assert names == {HIT}
    assert all(p["own_ms"]["p50"] > 0.0 for row in hit["rows"] for p in row["proxies"])
