"""Two fake replicas in processes of their own, for all tests of fleets' benches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.bench.fleets.fleet_servers import FakePlan, fake_server_process
from kvproxy.bench.server_process import started_together

SERVED = "smol"
BLOCKS = 64


@pytest.fixture(scope="session")
def fake_urls(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The base URLs of two replicas of 63 blocks of 16 tokens that compute in no time."""
    folder = tmp_path_factory.mktemp("fakes")
    plan = FakePlan(SERVED, smollm2, BLOCKS, block_tokens=16, prefill_tokens_per_s=None, decode_s=0.0)
    fakes = [fake_server_process(f"replica-{number}", plan, folder) for number in range(2)]
    with started_together(fakes):
        yield [fake.url for fake in fakes]
