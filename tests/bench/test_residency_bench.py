from __future__ import annotations

import pytest

from kvproxy.bench.residency_bench import ResidencyPlan, bench_residency, print_residency


def test_the_figures_are_of_documents_that_are_held(capsys: pytest.CaptureFixture[str]) -> None:
    result = bench_residency(ResidencyPlan(replicas=(1, 40), blocks=8_000, lookups=40))
    assert [row["block_tokens"] for row in result["hashing"]] == [16, 32, 128]
    assert all(row["us_per_1000_tokens"] > 0 < row["cbor2_us_per_1000_tokens"] for row in result["hashing"])
    one, many = result["index"]
    assert one["blocks"] == one["block_replica_pairs"] >= 8_000
    assert many["block_replica_pairs"] > many["blocks"]
    assert many["holder_sets"] > one["holder_sets"] == 2
    for row in result["index"]:
        assert row["table_bytes_per_block"] >= 12
        assert all(0 < found["p50_us"] <= found["p99_us"] for found in row["lookups"])
    print_residency(result)
    assert "40" in capsys.readouterr().out
