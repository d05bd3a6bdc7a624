"""Load on several servers in turn, so that whatever disturbs the machine disturbs them all alike."""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp

from kvproxy.errors import KVProxyError

TIMEOUT_S = 120.0
RUN = 25
"""Requests to one server before the next one's turn."""
SETTLE_S = 0.05
"""Between two servers' turns."""
_DONE = b"data: [DONE]\n\n"
_PROXY_TIME = re.compile(r"(?:^|,)\s*proxy;dur=([0-9.]+)")


class WrongAnswer(KVProxyError):
    """A server refused or answered something else: its times mean nothing."""


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """Somewhere to send the same chat request to."""

    name: str
    url: str
    """Base URL, without ``/v1``."""
    model: str
    key: str
    cache_status: str = ""
    """The required beginning of the answer's Cache-Status."""
    cpu_s: Callable[[], float] | None = None
    """Processor seconds that the server has used so far."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer's times in seconds, as the client saw them."""

    total_s: float
    first_s: float | None
    """Until the first event; None where nothing was streamed."""
    proxy_s: float | None
    """The server's own account of its work (``Server-Timing``)."""


@dataclass(slots=True)
class LoadSamples:
    """Samples of requests by target, in the order asked."""

    of: dict[str, list[Sample]] = field(default_factory=dict)
    """By target, in the order asked."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """Processor seconds of all requests of a target; only where they could be told apart."""


@dataclass(frozen=True, slots=True)
class Request:
    """The request that every target is sent. ``max_tokens`` is the length of a mock's answer."""

    messages: Sequence[Mapping[str, Any]]
    max_tokens: int
    stream: bool

    def body(self, model: str) -> bytes:
        """Return the JSON body of the request to ``model``."""
        fields = {"model": model, "messages": self.messages, "max_tokens": self.max_tokens}
        return json.dumps(fields | {"stream": self.stream}).encode()


class Load:
    """One HTTP client for all targets, with connections that are kept. Use ``open_load``.

    The order of the targets is drawn anew for every round, always the same draw.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._order = random.Random(0)

    async def text(self, target: LoadTarget, request: Request) -> str:
        """Ask the target and check its answer. Raises WrongAnswer."""
        parts: list[str] = []
        async with self._post(target, request.body(target.model)) as answer:
            if not request.stream:
                return str((await answer.json())["choices"][0]["message"]["content"])
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    choices = json.loads(line.removeprefix(b"data: "))["choices"]
                    parts += [choice["delta"].get("content") or "" for choice in choices]
        return "".join(parts)

    async def one_by_one(self, targets: Sequence[LoadTarget], request: Request, requests: int) -> LoadSamples:
        """Send ``requests`` to each target, one at a time, in runs of at most RUN. Raises WrongAnswer.

        Taking turns after every single request was rejected: a proxy's work after its answer (litellm's logging)
        and the caches that it filled were then charged to the next target.

        Example: ``await load.one_by_one(targets, request, 200)``
        """
        samples = LoadSamples({t.name: [] for t in targets})
        bodies = {t.name: request.body(t.model) for t in targets}
        for begun in range(0, requests, RUN):
            for target in self._order.sample(targets, len(targets)):
                await asyncio.sleep(SETTLE_S)
                await self._ask(target, bodies[target.name], request.stream)  # after the others, not counted
                for _ in range(min(RUN, requests - begun)):
                    samples.of[target.name].append(
                        await self._ask(target, bodies[target.name], request.stream)
                    )
        return samples

    async def at_once(
        self, targets: Sequence[LoadTarget], request: Request, *, rounds: int, requests: int, concurrency: int
    ) -> LoadSamples:
        """Send ``requests`` to each target per round, ``concurrency`` of them open at any time. Raises WrongAnswer.

        Example: ``await load.at_once(targets, request, rounds=5, requests=64, concurrency=32)``
        """
        samples = LoadSamples({t.name: [] for t in targets})
        for _ in range(rounds):
            for target in self._order.sample(targets, len(targets)):
                before = target.cpu_s() if target.cpu_s else None
                samples.of[target.name] += await self._burst(target, request, requests, concurrency)
                if target.cpu_s is not None and before is not None:
                    used = target.cpu_s() - before
                    samples.cpu_s[target.name] = samples.cpu_s.get(target.name, 0.0) + used
        return samples

    async def _burst(
        self, target: LoadTarget, request: Request, requests: int, concurrency: int
    ) -> list[Sample]:
        body = request.body(target.model)
        samples: list[Sample] = []
        left = iter(range(requests))

        async def client() -> None:
            for _ in left:
                samples.append(await self._ask(target, body, request.stream))

        async with asyncio.TaskGroup() as clients:
            for _ in range(concurrency):
                clients.create_task(client())
        return samples

    async def _ask(self, target: LoadTarget, body: bytes, stream: bool) -> Sample:
        began = time.perf_counter()
        async with self._post(target, body) as answer:
            first, end = await _read(answer, stream)
        total = time.perf_counter() - began
        if not end.endswith(_DONE if stream else b"}"):
            raise WrongAnswer(f"{target.name}'s answer ends with {end!r}")
        own = _PROXY_TIME.search(answer.headers.get("Server-Timing", ""))
        return Sample(total, None if first is None else first - began, float(own[1]) / 1000 if own else None)

    @asynccontextmanager
    async def _post(self, target: LoadTarget, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {target.key}"}
        url = f"{target.url}/v1/chat/completions"
        try:
            async with self._session.post(url, data=body, headers=headers) as answer:
                if answer.status != HTTPStatus.OK:
                    raise WrongAnswer(f"{target.name} answered with status {answer.status}")
                status = answer.headers.get("Cache-Status", "")
                if not status.startswith(target.cache_status):
                    raise WrongAnswer(f"{target.name} answered with Cache-Status {status!r}")
                yield answer
        except (aiohttp.ClientError, TimeoutError) as e:
            raise WrongAnswer(f"{target.name} did not answer: {e or type(e).__name__}") from e


@asynccontextmanager
async def open_load() -> AsyncIterator[Load]:
    """Open a client session for the load."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Load(session)


def quantiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """``p50`` and ``p99`` in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50": cuts[49] * 1000, "p99": cuts[98] * 1000}


async def _read(answer: aiohttp.ClientResponse, stream: bool) -> tuple[float | None, bytes]:
    """When the first event came, and the last bytes of the body."""
    if not stream:
        return None, (await answer.read())[-len(_DONE) :]
    first: float | None = None
    end = b""
    async for data in answer.content.iter_any():
        if first is None and b"data:" in data:
            first = time.perf_counter()
        end = (end + data)[-len(_DONE) :]
    return first, end
