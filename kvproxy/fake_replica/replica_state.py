"""`ReplicaState`: what the routes of a fake replica share."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from kvproxy.fake_replica.completion_answers import AnswerHead
from kvproxy.fake_replica.completion_query import CompletionQuery
from kvproxy.fake_replica.fake_engine import EnginePrompt, FakeEngine
from kvproxy.fake_replica.replica_faults import ReplicaFaults
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.replica_text import ReplicaText
from kvproxy.fake_replica.vllm_errors import ReplicaError, VllmError


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One generation that was asked for."""

    path: str
    prompt: tuple[int, ...]
    salt: str | None
    session: str | None
    max_tokens: int
    stream: bool
    read_cache: bool
    traceparent: str | None = None


@dataclass(slots=True)
class ReplicaState:
    """The parts of one replica."""

    options: ReplicaOptions
    text: ReplicaText
    engine: FakeEngine
    faults: ReplicaFaults
    events_endpoint: str
    replay_endpoint: str
    said: deque[str] = field(default_factory=deque)
    """Answers that the next requests get, in order, in place of the usual ones."""
    requests: deque[SeenRequest] = field(default_factory=lambda: deque(maxlen=10_000))
    load: int = 0
    """Generations that are being answered."""

    def head(self, name: str) -> AnswerHead:
        """Return the head of an answer that begins now."""
        return AnswerHead(name, int(time.time()), self.options.model, self.engine.fingerprint)

    def check_model(self, model: object) -> None:
        """Accept this replica's model, or none. Raises VllmError with vLLM's 404."""
        if model and model != self.options.model:
            message = f"The model `{model}` does not exist. Valid aliases: {self.options.model}."
            raise VllmError(ReplicaError(404, "NotFoundError", message, "model"))

    def told_cached(self, cached: int) -> int | None:
        """Return the ``cached_tokens`` that usage tells, None for no details."""
        return self.faults.told_cached(cached) if self.options.prompt_tokens_details else None

    def seen(self, path: str, prompt: EnginePrompt, query: CompletionQuery) -> None:
        """Remember a request for tests.

        Example: ``state.seen("/v1/completions", prompt, query)``
        """
        self.requests.append(
            SeenRequest(
                path=path,
                prompt=prompt.token_ids,
                salt=prompt.salt,
                session=prompt.session,
                max_tokens=query.limits.max_tokens,
                stream=query.stream,
                read_cache=prompt.read_cache,
                traceparent=query.traceparent,
            )
        )

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Count a generation in ``/load``."""
        self.load += 1
        try:
            yield
        finally:
            self.load -= 1


REPLICA = web.AppKey("REPLICA", ReplicaState)
"""The application key of the replica."""
