"""KV events of the fake replica and of vLLM: frames, fields, hashes, evictions, replays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from kvproxy.residency.block_hashes import BlockHashes
from tests.fake_replica.contract.asked_replica import BLOCK, BLOCKS, AskedReplica, cached

HASHES = BlockHashes(BLOCK)


def stores(events: Sequence[Any]) -> list[Any]:
    """The events that store blocks, among the evictions that make room for them."""
    return [event for event in events if event["type"] == "BlockStored"]


def stored(events: Sequence[Any]) -> list[int]:
    """All hashes that ``events`` store."""
    return [one for event in stores(events) for one in event["block_hashes"]]


def test_the_source_is_named(replica: AskedReplica) -> None:
    (rank, source), *others = replica.get("/kv_event_sources").json().items()
    assert (rank, others) == ("0", [])
    assert source.pop("topic") is not None
    assert source == {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": f"tcp://*:{replica.ports.events}",
        "replay_endpoint": f"tcp://*:{replica.ports.replay}",
        "buffer_steps": 10_000,
        "hwm": 100_000,
        "max_queue_size": 100_000,
    }


@pytest.mark.parametrize("salt", [None, "salted-_1"])
def test_a_prefill_is_told_with_hashes_that_this_proxy_computes(
    replica: AskedReplica, salt: str | None
) -> None:
    prompt, start = replica.prompt(70), replica.next_batch
    replica.complete(prompt, cache_salt=salt, headers={"x-session-id": "handbook"})
    (event,) = stores(replica.events(start, lambda found: len(stored(found)) >= 2))
    assert event == {
        "type": "BlockStored",
        "block_hashes": list(HASHES.chain(prompt, salt)),
        "parent_block_hash": None,
        "token_ids": prompt[: 2 * BLOCK],
        "block_size": BLOCK,
        "lora_id": None,
        "medium": "GPU",
        "lora_name": None,
        "extra_keys": [[salt] if salt else None, None],
        "group_idx": 0,
        "kv_cache_spec_kind": "full_attention",
        "session_id": "handbook",
    }


def test_a_longer_prompt_tells_its_new_blocks_and_their_parent(replica: AskedReplica) -> None:
    prompt = replica.prompt(70)
    replica.complete(prompt, cache_salt="s")
    replica.events(0, lambda found: set(HASHES.chain(prompt, "s")) <= set(stored(found)))
    start = replica.next_batch
    longer = [*prompt[:64], *replica.prompt(40)]
    assert cached(replica.complete(longer, cache_salt="s")) == 64
    (event,) = stores(replica.events(start, lambda found: bool(stored(found))))
    chain = HASHES.chain(longer, "s")
    assert (event["block_hashes"], event["parent_block_hash"]) == ([chain[2]], chain[1])
    assert event["extra_keys"] == [None]
    assert event["token_ids"] == longer[64:96]


def test_a_hit_tells_nothing_and_the_next_batch_follows(replica: AskedReplica) -> None:
    prompt, start = replica.prompt(70), replica.next_batch
    replica.complete(prompt)
    replica.complete(prompt)
    other = replica.prompt(40)
    replica.complete(other)
    events = replica.events(start, lambda found: HASHES.chain(other)[0] in stored(found))
    assert stored(events) == [*HASHES.chain(prompt), *HASHES.chain(other)]
    batches = replica.batches(start)
    assert sorted(batches) == list(range(start, start + len(batches)))
    assert all(rank == 0 and isinstance(at, float) for at, _, rank in batches.values())


def test_an_answers_blocks_are_told_when_they_are_full(replica: AskedReplica) -> None:
    prompt, start = replica.prompt(60), replica.next_batch
    answer = replica.complete(prompt, max_tokens=10, ignore_eos=True, return_token_ids=True)
    whole = [*prompt, *answer["choices"][0]["token_ids"]]
    events = stores(replica.events(start, lambda found: len(stored(found)) >= 2))
    assert [event["block_hashes"] for event in events] == [[one] for one in HASHES.chain(whole[:64])]
    assert events[1]["token_ids"] == whole[32:64]


def test_a_block_is_told_only_when_its_last_token_is_computed(replica: AskedReplica) -> None:
    prompt, start = replica.prompt(60), replica.next_batch
    # The 64th position is the answer's fourth token, which is said and never computed.
    replica.complete(prompt, max_tokens=4, ignore_eos=True)
    other = replica.prompt(40)
    replica.complete(other)
    events = replica.events(start, lambda found: HASHES.chain(other)[0] in stored(found))
    assert stored(events) == [HASHES.chain(prompt)[0], *HASHES.chain(other)]


def test_a_full_cache_evicts_the_oldest_from_their_ends(replica: AskedReplica) -> None:
    start = replica.next_batch
    blocks = 15
    prompts = [replica.prompt(blocks * BLOCK) for _ in range(4)]
    for prompt in prompts:
        replica.complete(prompt, max_tokens=1)
    events = replica.events(start, lambda found: len(stored(found)) >= 4 * blocks)
    removed = [event for event in events if event["type"] == "BlockRemoved"]
    assert all(set(event) == {"type", "block_hashes", "medium", "group_idx"} for event in removed)
    assert all((event["medium"], event["group_idx"]) == ("GPU", 0) for event in removed)
    ours = {one for prompt in prompts for one in HASHES.chain(prompt)}
    gone = [one for event in removed for one in event["block_hashes"] if one in ours]
    assert gone == list(reversed(HASHES.chain(prompts[0])))[: 4 * blocks - (BLOCKS - 1)]
    assert cached(replica.complete(prompts[0], max_tokens=1)) == (blocks - len(gone)) * BLOCK
    assert cached(replica.complete(prompts[-1], max_tokens=1)) == (blocks - 1) * BLOCK


def test_a_reset_is_told_with_the_next_step(replica: AskedReplica) -> None:
    prompt = replica.prompt(70)
    replica.complete(prompt)
    replica.events(0, lambda found: HASHES.chain(prompt)[1] in stored(found))
    start = replica.next_batch
    assert replica.post("/reset_prefix_cache", {}).json() == {"success": True}
    assert replica.batches(start) == {}
    assert cached(replica.complete(prompt)) == 0
    events = replica.events(start, lambda found: len(found) >= 2)
    assert events[0] == {"type": "AllBlocksCleared"}
    assert stored(events) == list(HASHES.chain(prompt))


def test_published_frames_are_those_that_a_replay_has(replica: AskedReplica) -> None:
    subscribed = replica.subscription()
    while not subscribed.poll(200):  # a subscription takes a moment, and what is said before is lost
        replica.complete(replica.prompt(40), max_tokens=1)
    topic, seq, payload = subscribed.recv_multipart()
    subscribed.close(linger=0)
    assert topic == replica.get("/kv_event_sources").json()["0"]["topic"].encode()
    assert len(seq) == 8
    number = int.from_bytes(seq, "big")
    assert replica.batches(number)[number] == msgspec.msgpack.decode(payload)


def test_a_cold_read_computes_the_same_blocks_again(replica: AskedReplica) -> None:
    prompt = replica.prompt(70)
    replica.complete(prompt)
    replica.events(0, lambda found: HASHES.chain(prompt)[1] in stored(found))
    start = replica.next_batch
    sampling = {"max_tokens": 1, "temperature": 0, "skip_reading_prefix_cache": True}
    replica.post("/inference/v1/generate", {"token_ids": prompt, "sampling_params": sampling})
    events = replica.events(start, lambda found: bool(stored(found)))
    assert stored(events) == list(HASHES.chain(prompt))
