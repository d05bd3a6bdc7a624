"""Events over ZMQ: frames, forms, lost numbers, replays, and vLLM's rule of who binds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import zmq
import zmq.asyncio

from kvproxy.fake_replica.event_socket import EventSocket, binds
from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_faults import ReplicaFaults
from kvproxy.fake_replica.replica_options import EventForm, ReplicaOptions
from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.event_decoder import EventDecoder
from kvproxy.residency.kv_events import BlocksRemoved, BlocksStored
from tests.server.doubles import eventually

PROMPT = list(range(40))


class Subscriber:
    """Collects a replica's batches, by sequence number."""

    def __init__(self, context: zmq.asyncio.Context) -> None:
        self._context = context
        self.socket = context.socket(zmq.SUB)
        self.socket.subscribe(b"")
        self.batches: dict[int, Any] = {}
        self.topics: set[bytes] = set()
        self.widths: set[int] = set()
        """Frames of the replayed messages."""

    async def collect(self) -> None:
        while True:
            topic, seq, payload = await self.socket.recv_multipart()
            self.topics.add(topic)
            self.batches[int.from_bytes(seq, "big")] = msgspec.msgpack.decode(payload)

    async def replayed(self, endpoint: str, start: int) -> dict[int, Any]:
        asked = self._context.socket(zmq.DEALER)
        asked.connect(endpoint)
        await asked.send_multipart([b"", start.to_bytes(8, "big")])
        found: dict[int, Any] = {}
        while True:
            frames = await asked.recv_multipart()
            self.widths.add(len(frames))
            seq, payload = frames[-2:]
            number = int.from_bytes(seq, "big", signed=True)
            if number == -1:
                assert payload == b""
                return found
            found[number] = msgspec.msgpack.decode(payload)


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    context = zmq.asyncio.Context()
    subscriber = Subscriber(context)
    task = asyncio.create_task(subscriber.collect())
    yield subscriber
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    context.destroy(linger=0)


async def ask(replica: FakeReplica, prompt: list[int], salt: str | None = None) -> None:
    body = {"prompt": prompt, "max_tokens": 1, "cache_salt": salt}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{replica.url}/v1/completions", json=body) as answer,
    ):
        assert answer.status == 200


async def connected(replica: FakeReplica, subscriber: Subscriber) -> None:
    """Ask until an event has come: a subscription takes a moment, and what is said before is lost."""
    for number in range(1000, 200_000, 1000):
        await ask(replica, list(range(number, number + 20)))
        await asyncio.sleep(0.02)
        if subscriber.batches:
            break
    last = max(await subscriber.replayed(replica.replay_endpoint, 0))
    await eventually(lambda: last in subscriber.batches)
    subscriber.batches.clear()


@pytest.mark.parametrize(
    ("endpoint", "bound"),
    [
        ("tcp://*:5557", True),
        ("ipc:///tmp/kv", True),
        ("inproc://kv", True),
        ("tcp://[::]:5557", True),
        ("tcp://127.0.0.1:5557", False),
    ],
)
def test_the_text_of_an_endpoint_decides_who_binds(endpoint: str, bound: bool) -> None:
    assert binds(endpoint) is bound


async def test_a_prefill_is_one_batch_of_maps(subscriber: Subscriber) -> None:
    async with FakeReplica(ReplicaOptions(topic="kv@here@m")) as replica:
        subscriber.socket.connect(replica.events_endpoint)
        await connected(replica, subscriber)
        await ask(replica, PROMPT, "s")
        await eventually(lambda: bool(subscriber.batches))
        (batch,) = subscriber.batches.values()
        _, (event,), rank = batch
        assert rank == 0
        assert subscriber.topics == {b"kv@here@m"}
        assert event == {
            "type": "BlockStored",
            "block_hashes": list(BlockHashes(16).chain(PROMPT, "s")),
            "parent_block_hash": None,
            "token_ids": PROMPT[:32],
            "block_size": 16,
            "lora_id": None,
            "medium": "GPU",
            "lora_name": None,
            "extra_keys": [["s"], None],
            "group_idx": 0,
            "kv_cache_spec_kind": "full_attention",
        }


async def test_every_kth_batch_is_lost_and_can_be_asked_for(subscriber: Subscriber) -> None:
    async with FakeReplica() as replica:
        subscriber.socket.connect(replica.events_endpoint)
        await connected(replica, subscriber)
        start = max(await subscriber.replayed(replica.replay_endpoint, 0)) + 1
        replica.faults.drop_every = 2
        for number in range(6):
            await ask(replica, [number, *PROMPT])
        everything = await subscriber.replayed(replica.replay_endpoint, start)
        assert sorted(everything) == list(range(start, start + 6))
        kept = {number: batch for number, batch in everything.items() if (number + 1) % 2}
        await eventually(lambda: subscriber.batches == kept)


async def test_the_replay_buffer_has_the_last_steps_only(subscriber: Subscriber) -> None:
    async with FakeReplica(ReplicaOptions(buffer_steps=2)) as replica:
        for number in range(5):
            await ask(replica, [number, *PROMPT])
        assert sorted(await subscriber.replayed(replica.replay_endpoint, 0)) == [3, 4]


async def test_a_restart_counts_from_zero(subscriber: Subscriber) -> None:
    async with FakeReplica() as replica:
        await ask(replica, PROMPT)
        await replica.restart()
        assert await subscriber.replayed(replica.replay_endpoint, 0) == {}
        await ask(replica, PROMPT)
        assert sorted(await subscriber.replayed(replica.replay_endpoint, 0)) == [0]


async def test_a_reset_is_told_with_the_next_step(subscriber: Subscriber) -> None:
    async with FakeReplica() as replica:
        await ask(replica, PROMPT)
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{replica.url}/reset_prefix_cache") as answer:
                assert await answer.json() == {"success": True}
        assert len(await subscriber.replayed(replica.replay_endpoint, 0)) == 1
        await ask(replica, PROMPT)
        told = (await subscriber.replayed(replica.replay_endpoint, 1))[1][1]
        assert [event["type"] for event in told] == ["AllBlocksCleared", "BlockStored"]


@pytest.mark.parametrize("form", ["array", "sglang"])
async def test_older_and_other_forms(form: EventForm, subscriber: Subscriber) -> None:
    async with FakeReplica(ReplicaOptions(event_form=form)) as replica:
        await ask(replica, PROMPT, "s")
        await replica.evict(1)
        batches = await subscriber.replayed(replica.replay_endpoint, 0)
    assert subscriber.widths == {3 if form == "sglang" else 4}
    stored, removed = (batch[1][0] for batch in batches.values())
    if form == "array":
        hashes = list(BlockHashes(16).chain(PROMPT, "s"))
        assert stored == ["BlockStored", hashes, None, PROMPT[:32], 16, None, "GPU"]
        assert removed == ["BlockRemoved", hashes[1:], "GPU"]
    else:
        assert (stored["type"], stored["cache_salt"]) == ("BlockStored", "s")
        assert removed == {
            "type": "BlockRemoved",
            "block_hashes": stored["block_hashes"][1:],
            "medium": "GPU",
        }


async def test_a_replica_connects_to_a_socket_that_somebody_else_binds(
    subscriber: Subscriber, tmp_path: Path
) -> None:
    port = subscriber.socket.bind_to_random_port("tcp://127.0.0.1")
    options = ReplicaOptions(events_endpoint=f"tcp://127.0.0.1:{port}", topic="kv@one")
    async with FakeReplica(options) as replica:
        await connected(replica, subscriber)
        await ask(replica, PROMPT)
        await eventually(lambda: bool(subscriber.batches))
    assert subscriber.topics == {b"kv@one"}


async def test_a_socket_that_is_taken_leaves_nothing_open(subscriber: Subscriber, tmp_path: Path) -> None:
    taken = subscriber.socket.bind_to_random_port("tcp://127.0.0.1")
    socket = EventSocket(f"ipc://{tmp_path}/kv", f"tcp://127.0.0.1:{taken}", ReplicaFaults())
    with pytest.raises(zmq.ZMQError):
        await socket.__aenter__()
    assert socket._context.closed


async def test_no_sources_without_events() -> None:
    async with FakeReplica(ReplicaOptions(events=False)) as replica, aiohttp.ClientSession() as http:
        await ask(replica, PROMPT)
        async with http.get(f"{replica.url}/kv_event_sources") as answer:
            assert await answer.json() == {}


@pytest.mark.parametrize("form", ["map", "array", "sglang"])
async def test_the_proxy_reads_every_form(form: EventForm, subscriber: Subscriber) -> None:
    async with FakeReplica(ReplicaOptions(event_form=form)) as replica:
        await ask(replica, PROMPT, "s")
        await replica.evict(1)
        batches = await subscriber.replayed(replica.replay_endpoint, 0)
        left = replica.engine.cache.cached_blocks()
    decoder = EventDecoder()
    events = [
        event for batch in batches.values() for event in decoder.decode(msgspec.msgpack.encode(batch)).events
    ]
    stored, removed = events
    assert isinstance(stored, BlocksStored) and isinstance(removed, BlocksRemoved)
    assert [one for one in stored.hashes if one not in removed.hashes] == [one % 2**64 for one in left]
    assert (stored.token_ids, stored.block_tokens) == (tuple(PROMPT[:32]), 16)
    assert stored.salt == (None if form == "array" else "s")
