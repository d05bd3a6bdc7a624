from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvproxy.bench.fleets.fleet_overhead import (
    FLEET,
    OverheadInput,
    OverheadPeers,
    OverheadPlan,
    bench_fleet_overhead,
)
from kvproxy.bench.fleets.fleet_tables import print_fleet_overhead

TINY = OverheadPlan(sequential=3, rounds=1, burst=4, concurrency=2, warm_up=1)


def test_programs_that_are_not_there_are_named(tmp_path: Path) -> None:
    assert OverheadPeers.in_folder(tmp_path) == OverheadPeers(None, None, ["litellm", "vllm-router"])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "litellm").touch()
    found = OverheadPeers.in_folder(tmp_path)
    assert (found.litellm, found.left_out) == (tmp_path / "bin" / "litellm", ["vllm-router"])


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_it_measures_a_fleets_proxy(
    smollm2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[tuple[int, int]] = []
    text = "The handbook says that leave is thirty days. " * 20
    given = OverheadInput("smol", smollm2, text, OverheadPeers.in_folder(tmp_path))
    result = bench_fleet_overhead(TINY, given, lambda done, total: said.append((done, total)))
    json.dumps(result)
    assert said[-1] == (4, 4)
    assert [(row["at_once"], row["streamed"], row["metric"]) for row in result["rows"]] == [
        (1, False, "total"),
        (1, True, "first"),
        (1, True, "total"),
        (2, False, "total"),
        (2, True, "first"),
        (2, True, "total"),
    ]
    for row in result["rows"]:
        (ours,) = row["proxies"]
        assert ours["name"] == FLEET
        assert ours["added_ms"]["p50"] == pytest.approx(
            ours["ms"]["p50"] - row["straight_ms"]["p50"], abs=0.01
        )
    assert result["replicas"] == {"count": 2, "fake": True}
    assert result["document_tokens"] > 100
    print_fleet_overhead(result)
    printed = capsys.readouterr().out
    assert FLEET in printed
    assert "Left out: vllm-router is not installed; `make fleet-peers`" in printed
