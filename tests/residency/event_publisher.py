"""`EventPublisher`: the sending side of KV events as vLLM has it, a PUB and a ROUTER socket."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Any, Self

import msgspec
import zmq
import zmq.asyncio

_END = b"\xff" * 8


class EventPublisher:
    """A publisher on loopback. `send` publishes and keeps; `send(..., lost=True)` keeps alone, as if the network had
    lost it; a second publisher on the same ports is a replica that was started again."""

    def __init__(
        self,
        *,
        endpoint: str = "tcp://127.0.0.1:0",
        replay: str = "tcp://127.0.0.1:0",
        topic: str = "",
        kept: int = 10_000,
        rank: int = 0,
        connect: bool = False,
    ) -> None:
        self._wanted = (endpoint, replay)
        self._topic = topic.encode()
        self._connect = connect
        self._rank = rank
        self.kept: deque[tuple[int, bytes]] = deque(maxlen=kept)
        self.number = 0
        self.asked: list[int] = []
        self.answering = True

    async def __aenter__(self) -> Self:
        self._context: zmq.asyncio.Context = zmq.asyncio.Context()
        self._pub, self._router = self._context.socket(zmq.XPUB), self._context.socket(zmq.ROUTER)
        if self._connect:
            self._pub.connect(self._wanted[0])
        else:
            self._pub.bind(self._wanted[0])
        self._router.bind(self._wanted[1])
        self.endpoint = self._pub.getsockopt_string(zmq.LAST_ENDPOINT)
        self.replay = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._task = asyncio.create_task(self._answer())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._context.destroy(linger=0)

    async def subscribed(self) -> None:
        """Wait for a subscription."""
        await asyncio.wait_for(self._pub.recv(), 20)

    async def send(self, *events: Any, lost: bool = False, at: float | None = None) -> None:
        """Publish a batch of events."""
        payload = msgspec.msgpack.encode([time.time() if at is None else at, list(events), self._rank])
        await self.send_payload(payload, lost=lost)

    async def send_payload(self, payload: bytes, *, lost: bool = False) -> None:
        """Publish a batch of any bytes."""
        number, self.number = self.number, self.number + 1
        if not lost:
            await self._pub.send_multipart((self._topic, number.to_bytes(8, "big"), payload))
        self.kept.append((number, payload))

    async def _answer(self) -> None:
        while True:
            client, _, start = await self._router.recv_multipart()
            if not self.answering:
                continue
            begin = int.from_bytes(start, "big")
            self.asked.append(begin)
            for number, payload in list(self.kept):
                if number >= begin:
                    frames = (client, b"", self._topic, number.to_bytes(8, "big"), payload)
                    await self._router.send_multipart(frames)
            await self._router.send_multipart((client, b"", b"", _END, b""))


def stored(*blocks: int, parent: int | None = 1, tokens: int = 16, **more: Any) -> dict[str, Any]:
    """Return vLLM's event of blocks that were stored, without their tokens unless ``more`` has them."""
    return {
        "type": "BlockStored",
        "block_hashes": list(blocks),
        "parent_block_hash": parent,
        "token_ids": [],
        "block_size": tokens,
        "lora_id": None,
        "medium": "GPU",
        "lora_name": None,
        "group_idx": 0,
        "kv_cache_spec_kind": "full_attention",
    } | more


def removed(*blocks: int, **more: Any) -> dict[str, Any]:
    """Return vLLM's event of blocks that were removed."""
    return {"type": "BlockRemoved", "block_hashes": list(blocks), "medium": "GPU", "group_idx": 0} | more


CLEARED = {"type": "AllBlocksCleared"}
