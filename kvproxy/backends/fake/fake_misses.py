"""The miss path of a proxy without models: misses go to the local backend, upstreams answer as scripted."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from kvproxy.backends.base import Endpoint, Generation, LocalBackend, Passthrough
from kvproxy.backends.fake.fake_upstream import upstream_answer, upstream_chunks
from kvproxy.core import LeftOut
from kvproxy.errors import ModelNotFound, UpstreamError
from kvproxy.events import Event


class FakeMisses:
    """A :class:`MissBackend` in front of a local backend, with upstream models that say ``text``. ``others``: backends
    of further served models, by name."""

    def __init__(
        self,
        local: LocalBackend,
        *,
        upstreams: tuple[str, ...] = (),
        text: str = "from upstream",
        others: Mapping[str, LocalBackend] | None = None,
    ) -> None:
        self._local = local
        self._others = dict(others or {})
        self._upstreams = upstreams
        self.text = text
        self.missed: list[tuple[Generation, dict[str, Any]]] = []
        """Every miss, with the body that a fallback would have been sent."""
        self.bodies: list[dict[str, Any]] = []
        """Every body passed to an upstream."""
        self.drops: frozenset[str] = frozenset()
        """Names of fields that upstreams are said not to see."""
        self.open_streams = 0
        self._failures: deque[UpstreamError] = deque()

    def fail_next(self, error: UpstreamError) -> None:
        """Make the next upstream call raise ``error``."""
        self._failures.append(error)

    def models(self) -> tuple[str, ...]:
        return self._upstreams

    async def miss(self, generation: Generation, call: dict[str, Any]) -> AsyncGenerator[Event, None]:
        self.missed.append((generation, call))
        async with aclosing(self._backend(generation).generate(generation)) as events:
            async for event in events:
                yield event

    def _backend(self, generation: Generation) -> LocalBackend:
        return self._others.get(generation.model or "", self._local)

    def passthrough(self, model: str) -> Passthrough | None:
        return None

    async def left_out(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[LeftOut, ...]:
        return tuple(LeftOut(name, "not passed on") for name in body if name in self.drops)

    async def complete(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        self._received(body)
        return upstream_answer(endpoint, body["model"], self.text)

    async def stream(self, endpoint: Endpoint, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        self._received(body)
        self.open_streams += 1
        try:
            for chunk in upstream_chunks(endpoint, body["model"], self.text):
                yield chunk
        finally:
            self.open_streams -= 1

    def _received(self, body: dict[str, Any]) -> None:
        self.bodies.append(body)
        if self._failures:
            raise self._failures.popleft()
        if body["model"] not in self._upstreams:
            raise ModelNotFound(body["model"])
