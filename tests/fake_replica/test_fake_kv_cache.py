"""Blocks of the fake cache: what is shared, what is evicted, what events say."""

from __future__ import annotations

from kvproxy.fake_replica.fake_kv_cache import FakeKvCache
from kvproxy.fake_replica.replica_hashes import ReplicaHashes
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.told_events import ToldCleared, ToldRemoved, ToldStored
from kvproxy.residency.block_hashes import BlockHashes

OPTIONS = ReplicaOptions(block_tokens=4, blocks=9)


def a_cache() -> FakeKvCache:
    return FakeKvCache(OPTIONS.blocks, OPTIONS.block_tokens, ReplicaHashes(OPTIONS))


def run(cache: FakeKvCache, prompt: list[int], salt: str | None = None) -> int:
    """Prefill and end; return the tokens that were cached."""
    sequence = cache.begin(prompt, 1, salt=salt)
    assert sequence is not None
    cache.end(sequence)
    return sequence.cached_tokens


def test_hashes_are_those_that_the_proxy_computes() -> None:
    cache = a_cache()
    run(cache, list(range(10)), salt="x")
    assert tuple(cache.cached_blocks()) == BlockHashes(4).chain(range(10), "x")
    seeded = ReplicaHashes(ReplicaOptions(block_tokens=4, hash_seed="0"))
    own = FakeKvCache(9, 4, seeded)
    run(own, list(range(8)))
    assert tuple(own.cached_blocks()) == BlockHashes(4, "0").chain(range(8))


def test_the_default_hashes_of_vllm_match_nobodys() -> None:
    cache = FakeKvCache(9, 4, ReplicaHashes(ReplicaOptions(block_tokens=4, hash_algorithm="sha256")))
    run(cache, list(range(8)))
    assert not set(cache.cached_blocks()) & set(BlockHashes(4).chain(range(8)))


def test_stored_blocks_name_parent_tokens_and_the_first_ones_salt() -> None:
    cache = a_cache()
    run(cache, list(range(8)), salt="x")
    run(cache, list(range(13)), salt="x")
    first, second = cache.take_events()
    chain = BlockHashes(4).chain(range(12), "x")
    assert first == ToldStored(chain[:2], None, tuple(range(8)), 4, "x", True, None)
    assert second == ToldStored(chain[2:], chain[1], tuple(range(8, 12)), 4, "x", False, None)
    assert cache.take_events() == []


def test_a_hit_tells_nothing() -> None:
    cache = a_cache()
    run(cache, list(range(9)))
    cache.take_events()
    assert run(cache, list(range(9))) == 8
    assert cache.take_events() == []


def test_the_oldest_blocks_go_first_and_of_one_prompt_the_last() -> None:
    cache = a_cache()
    run(cache, list(range(16)))
    run(cache, list(range(100, 116)))
    cache.take_events()
    run(cache, list(range(200, 208)))
    gone = [one.hashes[0] for one in cache.take_events() if isinstance(one, ToldRemoved)]
    assert gone == list(reversed(BlockHashes(4).chain(range(16))))[:2]
    assert run(cache, list(range(17))) == 8


def test_a_running_requests_blocks_are_not_taken() -> None:
    cache = a_cache()
    held = cache.begin(list(range(16)), 5)
    assert held is not None
    assert cache.begin(list(range(100, 116)), 1) is None, (
        "three blocks are left: four and one for the answer run"
    )
    assert cache.evict() == 0
    for token in range(4):
        cache.append(held, token)
    assert cache.used_share == 5 / 8
    cache.end(held)
    assert cache.begin(list(range(100, 116)), 1) is not None


def test_an_answers_blocks_are_cached_too() -> None:
    cache = a_cache()
    held = cache.begin([1, 2, 3], 6)
    assert held is not None
    for token in (4, 5, 6, 7, 8):
        cache.append(held, token)
    cache.end(held)
    assert tuple(cache.cached_blocks()) == BlockHashes(4).chain(range(1, 9))


def test_one_block_twice_is_gone_only_when_both_are() -> None:
    cache = a_cache()
    first, second = cache.begin(list(range(4)), 1), cache.begin(list(range(4)), 1)
    assert first is not None and second is not None, "the last token is computed anew, so neither shares"
    assert first.blocks != second.blocks
    for one in (first, second):
        cache.end(one)
    assert cache.evict(1) == 1
    assert len(cache.cached_blocks()) == 1
    assert cache.evict() == 1
    assert cache.cached_blocks() == []


def test_a_reset_fails_while_a_request_runs() -> None:
    cache = a_cache()
    held = cache.begin(list(range(8)), 1)
    assert held is not None and not cache.reset()
    cache.end(held)
    cache.take_events()
    assert cache.reset()
    assert cache.take_events() == [ToldCleared()]
    assert run(cache, list(range(9))) == 0


def test_a_forced_cold_read_reuses_nothing() -> None:
    cache = a_cache()
    run(cache, list(range(9)))
    cold = cache.begin(list(range(9)), 1, read=False)
    assert cold is not None and cold.cached_tokens == 0
