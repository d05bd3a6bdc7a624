"""Serve a request: the one place that knows the way from a request to its events.

A hit goes to the local engine and nowhere else; everything else goes through the miss backend. Before the
first event a failed hit becomes a miss, once. After it, nothing is tried again: an exception ends the stream.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from kvproxy.backends.base import Generation, LocalBackend, Lookup, MissBackend
from kvproxy.core import (
    Caller,
    ChatRequest,
    Decision,
    Event,
    Miss,
    MissReason,
    Prompt,
    Sampling,
    Started,
)
from kvproxy.documents.matching import decide as decide_by_pages
from kvproxy.errors import ContextTooLong, HitLost, InvalidRequest, ModelNotFound, NotReady, Retryable

logger = logging.getLogger(__name__)

REFUSALS = (InvalidRequest, Retryable)
"""What the engine says about the request or its load, not about the pages: a miss would hear the same."""


class Composer(Protocol):
    """Turns a conversation into the tokens that the model sees."""

    def compose(self, request: ChatRequest, caller: Caller) -> Prompt:
        """CPU only, 1 to 3 ms for a known document. Raises DocumentNotFound, InvalidRequest."""

    def plain_messages(self, request: ChatRequest, caller: Caller) -> list[dict[str, Any]]:
        """OpenAI messages in which each referenced document stands as its text, for another model."""


class Timings:
    """Where the time of one request went, in seconds. Starts when it is made.

    Two kinds of measurement: ``measure`` names a piece of our own work, ``waiting`` marks time that is not
    ours (the client sending its body, the engine). ``proxy_s`` is all time so far that was not waited:
    nothing that the proxy does escapes it, named or not.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self._waited = 0.0
        self._named: dict[str, float] = {}
        self.decision: Decision | None = None
        """Set as soon as it is final, which for a miss is before its prefill."""

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self._named[name] = self._named.get(name, 0.0) + self._clock() - began

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self._waited += self._clock() - began

    @property
    def proxy_s(self) -> float:
        return self._clock() - self._began - self._waited

    def report(self, started: Started) -> dict[str, float]:
        """For ``Server-Timing``: our named work, the engine's own figures, and ``proxy``."""
        engine = {"queue": started.queue_s, "load": started.load_s, "prefill": started.prefill_s}
        return {**self._named, **engine, "proxy": self.proxy_s}


@dataclass(frozen=True, slots=True)
class Reply:
    """A generation whose first token is known.

    ``events`` holds engine rows and pages until it ends or is closed: whoever gets a Reply must close it.
    """

    decision: Decision
    """The final one: a hit that was lost stands here as the miss it became."""
    started: Started
    events: AsyncGenerator[Event, None]
    exact: bool
    timings: Timings


class Pipeline:
    """``local`` is None when this proxy only forwards to other models. ``decide`` is pure."""

    def __init__(
        self,
        *,
        composer: Composer,
        local: LocalBackend | None,
        misses: MissBackend,
        default_max_tokens: int,
        decide: Callable[[Prompt, Lookup], Decision] = decide_by_pages,
    ) -> None:
        self._composer = composer
        self._local = local
        self._misses = misses
        self._default_max_tokens = default_max_tokens
        self._decide = decide

    async def chat(self, request: ChatRequest, caller: Caller, request_id: str, clock: Timings) -> Reply:
        """Returns when the prompt is prefilled. ``request_id`` must be unique in this process.

        Raises, with nothing sent yet: InvalidRequest, DocumentNotFound, ContextTooLong, CannotFit,
        Overloaded, NotReady, UpstreamError.
        """
        local = self._ready(request.model)
        with clock.measure("compose"):
            prompt = self._composer.compose(request, caller)
            sampling = self._fit(prompt, request.sampling, local.info.max_context)
        generation = Generation(request_id, prompt, sampling, caller)
        decision, started, events = await self._hit(local, generation, clock)
        clock.decision = decision
        if started is None or events is None:
            with clock.measure("compose"):
                messages = self._composer.plain_messages(request, caller)
            events = self._misses.miss(generation, messages)
            started = await _first(events, clock)
        return Reply(decision, started, events, local.info.exact, clock)

    def upstreams(self) -> tuple[str, ...]:
        """Names of the models that are passed through."""
        return self._misses.models()

    async def upstream(self, body: dict[str, Any]) -> dict[str, Any]:
        """Another provider's answer, as it came. Raises UpstreamError."""
        return await self._misses.complete(body)

    def upstream_stream(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Another provider's chunks, as they come. Raises UpstreamError. Must be closed."""
        return self._misses.stream(body)

    async def _hit(
        self, local: LocalBackend, generation: Generation, clock: Timings
    ) -> tuple[Decision, Started | None, AsyncGenerator[Event, None] | None]:
        """The decision, and for a hit that began its first event and the rest.

        The hold stays until the engine has begun, which then holds its own. It ends before the miss path: a
        miss needs no page, and pages pinned by requests in the queue are missing to the request being served.
        """
        with ExitStack() as held:
            with clock.measure("match"):
                lookup = held.enter_context(local.hold(generation.prompt, generation.caller))
                decision = self._decide(generation.prompt, lookup)
            if isinstance(decision, Miss):
                return decision, None, None
            required = replace(generation, require_cached=decision.cached_tokens)
            try:
                events = local.generate(required)
                return decision, await _first(events, clock), events
            except HitLost as e:
                logger.warning("%s: hit lost, served as a miss: %s", generation.request_id, e.message)
                reason = e.reason
            except REFUSALS:
                raise
            except Exception:
                logger.exception("%s: hit path failed, served as a miss", generation.request_id)
                reason = MissReason.ENGINE_FAILED
            return Miss(reason, decision.document), None, None

    def _ready(self, model: str) -> LocalBackend:
        if self._local is None:
            raise ModelNotFound(model)
        reason = self._local.ready()
        if reason is not None:
            raise NotReady(f"The model `{model}` is not ready: {reason}.")
        return self._local

    def _fit(self, prompt: Prompt, sampling: Sampling, limit: int) -> Sampling:
        """``sampling`` with ``max_tokens`` set: the client's own, or the default as far as there is room."""
        prompt_tokens = len(prompt.token_ids)
        room = limit - prompt_tokens
        wanted = sampling.max_tokens
        if room < (wanted or 1):
            raise ContextTooLong(limit=limit, prompt_tokens=prompt_tokens, completion_tokens=wanted or 1)
        return replace(sampling, max_tokens=wanted or min(self._default_max_tokens, room))


async def _first(events: AsyncGenerator[Event, None], clock: Timings) -> Started:
    """The first event. On any failure, also when the client leaves, the generator is closed."""
    try:
        with clock.waiting():
            first = await anext(events, None)
        if not isinstance(first, Started):
            raise RuntimeError(f"a generation began with {type(first).__name__}")
        return first
    except BaseException:
        await events.aclose()
        raise
