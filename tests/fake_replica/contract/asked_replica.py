"""`AskedReplica`: one replica of the contract's tests, over HTTP and ZMQ."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import httpx
import msgspec
import zmq

from kvproxy.bench.vllm_server import BLOCK_TOKENS, VllmPorts

MODEL = "contract"
KEY = "contract-key"
BLOCK = BLOCK_TOKENS
BLOCKS = 48
"""One of them is never used."""
CONTEXT = 1024


class AskedReplica:
    """Asks one replica, and hears its events."""

    def __init__(self, url: str, ports: VllmPorts) -> None:
        self.url, self.ports = url, ports
        self.fresh = 1000
        """A token that no prompt of this session began with yet."""

    def __enter__(self) -> Self:
        self._http = httpx.Client(
            base_url=self.url, timeout=120, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
        )
        self._context = zmq.Context()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._context.destroy(linger=0)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._http.get(path, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self._http.post(path, json=body, **options)

    def prompt(self, tokens: int) -> list[int]:
        """Return a prompt that shares no block with any other."""
        self.fresh += 1
        return [self.fresh, *(2000 + number % 500 for number in range(tokens - 1))]

    def complete(
        self, prompt: object, headers: dict[str, str] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Return a whole completion, greedy and of four tokens unless ``fields`` say otherwise."""
        body = {"model": MODEL, "prompt": prompt, "max_tokens": 4, "temperature": 0, **fields}
        answer = self.post("/v1/completions", body, headers=headers)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def chunks(self, prompt: object, path: str = "/v1/completions", **fields: Any) -> list[dict[str, Any]]:
        """Return the chunks of a stream, without its end mark."""
        body = {"model": MODEL, "prompt": prompt, "max_tokens": 4, "temperature": 0, "stream": True, **fields}
        answer = self.post(path, body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        *events, last, rest = answer.text.split("\n\n")
        assert (last, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]

    def batches(self, start: int = 0) -> dict[int, Any]:
        """Return the event batches from ``start`` on, by their sequence numbers."""
        asked = self._context.socket(zmq.DEALER)
        asked.setsockopt(zmq.RCVTIMEO, 60_000)
        asked.connect(f"tcp://127.0.0.1:{self.ports.replay}")
        asked.send_multipart([b"", start.to_bytes(8, "big")])
        found: dict[int, Any] = {}
        while True:
            empty, topic, seq, payload = asked.recv_multipart()
            if int.from_bytes(seq, "big", signed=True) == -1:
                assert (empty, topic, payload) == (b"", b"", b"")
                asked.close(linger=0)
                return found
            found[int.from_bytes(seq, "big")] = msgspec.msgpack.decode(payload)

    def events(self, start: int, enough: Callable[[Sequence[Any]], bool]) -> list[Any]:
        """Return all events from batch ``start`` on, once they are ``enough``: vLLM publishes on a thread."""
        deadline = time.monotonic() + 60
        while True:
            found = [event for _, batch in sorted(self.batches(start).items()) for event in batch[1]]
            if enough(found) or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    @property
    def next_batch(self) -> int:
        """The number that the next batch will have; wait until the replica is quiet before asking."""
        return max(self.batches(), default=-1) + 1

    def subscription(self) -> zmq.Socket[bytes]:
        """Return a socket that hears every event from a moment on."""
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVTIMEO, 60_000)
        socket.subscribe(b"")
        socket.connect(f"tcp://127.0.0.1:{self.ports.events}")
        return socket


def cached(answer: dict[str, Any]) -> int:
    """The cached tokens that an answer's usage tells."""
    return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])


def shape(value: object) -> object:
    """Return names and types in place of values; of a list, those of its first entry."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return None if value is None else type(value).__name__
