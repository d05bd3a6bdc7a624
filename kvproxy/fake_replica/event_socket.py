"""`EventSocket`: publishes a replica's events over ZMQ as vLLM does, and answers replays."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Self

import msgspec
import zmq
import zmq.asyncio

from kvproxy.fake_replica.replica_faults import ReplicaFaults
from kvproxy.fake_replica.replica_options import EventForm
from kvproxy.fake_replica.told_events import ToldEvent, wire_batch

_END = (-1).to_bytes(8, "big", signed=True)


def binds(endpoint: str) -> bool:
    """Whether vLLM binds ``endpoint`` rather than connecting to it."""
    return "*" in endpoint or "::" in endpoint or endpoint.startswith(("ipc://", "inproc://"))


class EventSocket:
    """A PUB socket of frames topic, sequence number, payload, and a ROUTER socket that sends batches again."""

    def __init__(
        self,
        endpoint: str,
        replay_endpoint: str,
        faults: ReplicaFaults,
        *,
        form: EventForm = "map",
        buffer_steps: int = 10_000,
        topic: str = "",
    ) -> None:
        """Open with ``async with``.

        Example: ``EventSocket("ipc:///tmp/kv", "ipc:///tmp/kv-replay", ReplicaFaults())``
        """
        self._endpoint, self._replay_endpoint = endpoint, replay_endpoint
        self._faults, self._form, self._topic = faults, form, topic.encode()
        self._buffer: deque[tuple[int, bytes]] = deque(maxlen=buffer_steps)
        self._next = 0
        self._context = zmq.asyncio.Context()
        self._answers: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Bind or connect, and answer replays from now on. Raises ZMQError for an endpoint that is taken, with nothing
        left open."""
        try:
            self._pub = self._context.socket(zmq.PUB)
            self._pub.set_hwm(100_000)
            if binds(self._endpoint):
                self._pub.bind(self._endpoint)
            else:
                self._pub.connect(self._endpoint)
            self._replay = self._context.socket(zmq.ROUTER)
            self._replay.bind(self._replay_endpoint)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._answers = asyncio.create_task(self._answer())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close both sockets; what is not sent yet is lost."""
        if self._answers is not None:
            self._answers.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._answers
        self._context.destroy(linger=0)

    async def publish(self, events: list[ToldEvent]) -> None:
        """Send one batch under the next sequence number, unless a fault loses it; nothing without events."""
        if not events:
            return
        seq, self._next = self._next, self._next + 1
        payload = msgspec.msgpack.encode(wire_batch(events, self._form, time.time()))
        self._buffer.append((seq, payload))
        if self._faults.drop_every and (seq + 1) % self._faults.drop_every == 0:
            return
        await self._pub.send_multipart([self._topic, seq.to_bytes(8, "big"), payload])

    def restart(self) -> None:
        """Count batches from 0 and forget the old ones, as a new process does."""
        self._next = 0
        self._buffer.clear()

    async def _answer(self) -> None:
        while True:
            frames = await self._replay.recv_multipart()
            if len(frames) != 3:
                continue
            client, _, start = frames
            wanted = int.from_bytes(start, "big")
            # SGLang answers without the topic's frame.
            topic, last = ([], []) if self._form == "sglang" else ([self._topic], [b""])
            for seq, payload in list(self._buffer):
                if seq >= wanted:
                    await self._replay.send_multipart([client, b"", *topic, seq.to_bytes(8, "big"), payload])
            await self._replay.send_multipart([client, b"", *last, _END, b""])
