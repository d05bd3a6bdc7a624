"""Serve a request: the one place that knows the way from a request to its events.

A hit goes to the local engine and nowhere else; everything else goes through the miss backend. Before the
first event a failed hit becomes a miss, once. After it, nothing is tried again: an exception ends the stream.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any, Protocol

from kvproxy.backends.base import (
    Endpoint,
    EngineInfo,
    Generation,
    LocalBackend,
    MissBackend,
    PageLookup,
    Passthrough,
    PlacesClaim,
)
from kvproxy.core import (
    Caller,
    ChatRequest,
    Decision,
    LeftOut,
    Miss,
    MissReason,
    Prompt,
    Sampling,
    TextRequest,
)
from kvproxy.documents.matching import decide as decide_by_pages
from kvproxy.errors import ContextTooLong, HitLost, InvalidRequest, ModelNotFound, NotReady, Retryable
from kvproxy.events import Event, Started
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.telemetry.metrics import Meter, Metrics
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.answer_formats.enforced import constraint_of

logger = logging.getLogger(__name__)

REFUSALS = (InvalidRequest, Retryable)
"""What the engine says about the request or its load, not about the pages: a miss would hear the same."""

PREDICTION_SLACK = 256
"""Tokens of a prediction that are of use beyond ``max_tokens``: the answer may leave out some of it."""

_TOKEN_CHARACTERS = 4
"""Of a prompt's text, on average."""

ROOM_SHARE = 8
"""A ``max_tokens`` that goes beyond the context is one for what is left of it, where that is at least such a part."""


Request = ChatRequest | TextRequest


class Composer(Protocol):
    """Turns a request into the tokens that the model sees."""

    async def compose_async(self, request: Request, caller: Caller, limit: int | None = None) -> Prompt:
        """1 to 3 ms for a known document; what is long is composed on another thread. ``limit``: tokens that fit.
        Raises DocumentNotFound, InvalidRequest, and ContextTooLong where the prompt is far longer."""

    def plain_call(self, request: Request, caller: Caller) -> dict[str, Any]:
        """The same for another model: a chat completion body in which each referenced document stands as its
        text, with tools and response_format but without model, sampling and streaming parameters."""

    def encode_prompt(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The ids of a text alone; control tokens written in it stay text."""

    async def predicted(self, text: str, most: int) -> tuple[int, ...]:
        """At most ``most`` ids of an answer as a client expects it. Raises InvalidRequest."""

    def decode(self, ids: Sequence[int]) -> str:
        """Raises InvalidRequest for an id that is no token."""

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """What each token stands for by itself. Raises InvalidRequest for an id that is no token."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One generation or several, whose first tokens are known.

    ``choices`` hold engine rows and pages until they end or are closed: whoever gets a Reply must close it.
    """

    decision: Decision
    """The final one: a hit that was lost stands here as the miss it became."""
    started: Started
    choices: tuple[AsyncGenerator[Event, None], ...]
    """Events behind Started, one generator for each of the request's ``n``."""
    parsed: tuple[bool, ...]
    """As ``Started.parsed``, of each choice: engine and upstreams may share the choices of one miss."""
    exact: bool
    timings: Timings
    prompt: Prompt
    meter: Meter
    """Is told every event of the engine's, and counts them when the reply is closed."""

    async def aclose(self) -> None:
        """Idempotent; a choice that has ended is closed already."""
        self.meter.close()
        for choice in self.choices:
            await choice.aclose()


class Pipeline:
    """``local`` is None when this proxy only forwards to other models. ``decide`` is pure."""

    def __init__(
        self,
        *,
        composer: Composer,
        local: LocalBackend | None,
        misses: MissBackend,
        default_max_tokens: int | None = None,
        decide: Callable[[Prompt, PageLookup], Decision] = decide_by_pages,
        metrics: Metrics | None = None,
    ) -> None:
        """``default_max_tokens``: of requests that name none; None lets them go on to the end of the context.
        ``metrics`` counts what is served; without one it has its own."""
        self.metrics = metrics or Metrics()
        self._composer = composer
        self._local = local
        self._misses = misses
        self._default_max_tokens = default_max_tokens
        self._decide = decide

    def claim(self, request: Request, caller: Caller, count: int) -> AbstractContextManager[PlacesClaim]:
        """Places in the engine for requests like this one that are one of the client's, ``count`` of them at a time.
        Raises InvalidRequest for more choices than there ever are, NotReady, ModelNotFound."""
        return self._ready(request.model).claim(caller, count * request.n, again=True)

    def at_once(self, request: Request, most: int) -> int:
        """How many requests like this one may be in the engine together and have ``most`` choices there at most; at
        least one. Raises NotReady, ModelNotFound."""
        return max(1, min(most, self._ready(request.model).info.places) // request.n)

    async def serve(
        self,
        request: Request,
        caller: Caller,
        request_id: str,
        clock: Timings,
        claim: PlacesClaim | None = None,
    ) -> Reply:
        """Returns when the prompt is prefilled. ``request_id`` must be unique in this process. ``claim``: as
        :meth:`claim` makes it; without one, all choices are admitted or none.

        Raises, with nothing sent yet: InvalidRequest, DocumentNotFound, ContextTooLong, CannotFit,
        UnsupportedSchema, Overloaded, NotReady, UpstreamError.
        """
        local = self._ready(request.model)
        with local.claim(caller, request.n) as own:
            return await self._serve(local, request, caller, request_id, clock, claim or own)

    async def _serve(
        self,
        local: LocalBackend,
        request: Request,
        caller: Caller,
        id: str,
        clock: Timings,
        claim: PlacesClaim,
    ) -> Reply:
        with clock.measure("compose"):
            prompt = await self._composer.compose_async(request, caller, local.info.max_context)
            sampling = self._fit(prompt, request.sampling, local.info)
            predicted = await self._predicted(
                request, sampling.max_tokens or local.info.room(len(prompt.token_ids))
            )
        generation = Generation(
            id,
            prompt,
            sampling,
            caller.salted(request.cache),
            constraint=constraint_of(request, prompt),
            keep_until=max(prompt.marks, default=0) if request.cache.explicit else None,
            predicted=predicted,
            claim=claim,
        )
        if any(document.quarantined for document in prompt.documents[:1]):
            generation = replace(generation, fresh=True)
        decision, started, events = await self._hit(local, generation, clock)
        clock.decision = decision
        call: dict[str, Any] | None = None
        if started is None or events is None:
            with clock.measure("compose"):
                size = len(prompt.token_ids) * _TOKEN_CHARACTERS
                call = await off_loop_if_large(size, lambda: self._composer.plain_call(request, caller))
            events = self._misses.miss(generation, call)
            started = await _first(events, clock)
        choices, parsed = [events], [started.parsed]
        try:
            for index in range(1, request.n):
                # The prompt's pages are there by now, so each further choice costs its answer only; unless the
                # client asked that nothing be kept.
                again = replace(generation, request_id=f"{id}-{index}", sampling=_varied(sampling, index))
                upstream = call is not None and started.parsed
                more = self._misses.miss(again, call or {}) if upstream else local.generate(again)
                choices.append(more)
                parsed.append((await _first(more, clock)).parsed)
        except BaseException:
            for choice in choices:
                await choice.aclose()
            raise
        exact = local.info.exact
        meter = self.metrics.reply(decision, started, len(prompt.token_ids), clock.elapsed_s)
        return Reply(decision, started, tuple(choices), tuple(parsed), exact, clock, prompt, meter)

    async def compose_async(self, request: Request, caller: Caller) -> Prompt:
        """What ``serve`` would send to the local model; for counting tokens, twice as many as fit at least. Raises as
        ``serve`` does."""
        if self._local is None:
            raise ModelNotFound(request.model)
        return await self._composer.compose_async(request, caller, self._local.info.max_context)

    def encode_prompt(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The local model's tokens of a text without a chat template. Raises ModelNotFound where there is none."""
        return self._tokens().encode_prompt(text, add_special_tokens=add_special_tokens)

    def decode(self, ids: Sequence[int]) -> str:
        """Raises InvalidRequest for an id that is no token, ModelNotFound where there is no local model."""
        return self._tokens().decode(ids)

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """What each token stands for by itself. Raises as ``decode`` does."""
        return self._tokens().token_texts(ids)

    @property
    def max_context(self) -> int:
        """Of the local model, in tokens. Raises ModelNotFound where there is none."""
        if self._local is None:
            raise ModelNotFound("local")
        return self._local.info.max_context

    def upstreams(self) -> tuple[str, ...]:
        """Names of the models that are passed through."""
        return self._misses.models()

    def passthrough(self, model: str) -> Passthrough | None:
        """The raw way to an upstream model, where it is configured so."""
        return self._misses.passthrough(model)

    async def upstream_left_out(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[LeftOut, ...]:
        """Returns what another provider will not see of a body. Raises InvalidRequest for what cannot be sent."""
        return await self._misses.left_out(endpoint, body)

    async def upstream(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        """Another provider's answer, as it came. Raises UpstreamError."""
        return await self._misses.complete(endpoint, body)

    def upstream_stream(
        self, endpoint: Endpoint, body: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Another provider's events, as they come. Raises UpstreamError. Must be closed."""
        return self._misses.stream(endpoint, body)

    def _tokens(self) -> Composer:
        if self._local is None:
            raise ModelNotFound("local")
        return self._composer

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

    async def _predicted(self, request: Request, max_tokens: int) -> tuple[int, ...] | None:
        if not isinstance(request, ChatRequest) or request.prediction is None:
            return None
        return await self._composer.predicted(request.prediction, max_tokens + PREDICTION_SLACK)

    def _ready(self, model: str) -> LocalBackend:
        if self._local is None:
            raise ModelNotFound(model)
        reason = self._local.ready()
        if reason is not None:
            raise NotReady(f"The model `{model}` is not ready: {reason}.")
        return self._local

    def _fit(self, prompt: Prompt, sampling: Sampling, info: EngineInfo) -> Sampling:
        """``sampling`` with a ``max_tokens`` that there is room for: the client's, or the default where there is one.

        Agents send the largest answer that their usual model gives, 32,000 tokens and more: a bound that is never
        reached. It ends where the context does, unless that is near: then the refusal tells them to shorten.
        """
        prompt_tokens, wanted = len(prompt.token_ids), sampling.max_tokens
        room = info.max_context - prompt_tokens
        if room < min(wanted or 1, max(1, info.max_context // ROOM_SHARE)):
            raise ContextTooLong(
                limit=info.max_context, prompt_tokens=prompt_tokens, completion_tokens=wanted or 1
            )
        if wanted is None:
            wanted = self._default_max_tokens
        if wanted is None:
            return sampling
        return replace(sampling, max_tokens=max(1, min(wanted, info.room(prompt_tokens))))


def _varied(sampling: Sampling, index: int) -> Sampling:
    """The sampling of a further choice: with a seed, a seed of its own, so that choices differ and repeat."""
    if sampling.seed is None:
        return sampling
    return replace(sampling, seed=(sampling.seed + index + 2**63) % 2**64 - 2**63)


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
