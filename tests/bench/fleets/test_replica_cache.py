from __future__ import annotations

import pytest

from kvproxy.bench.fleets.replica_cache import replica_cache, reset_cache
from kvproxy.errors import SetupError
from tests.bench.fleets.conftest import BLOCKS


def test_its_size_is_in_the_metrics(fake_urls: list[str]) -> None:
    cache = replica_cache(fake_urls[0])
    assert (cache.blocks, cache.block_tokens) == (BLOCKS, 16)
    assert cache.tokens == BLOCKS * 16
    assert 16 < cache.max_context <= cache.tokens


def test_it_can_be_emptied(fake_urls: list[str]) -> None:
    assert reset_cache(fake_urls[1])


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(SetupError, match="did not answer"):
        replica_cache("http://127.0.0.1:9")
