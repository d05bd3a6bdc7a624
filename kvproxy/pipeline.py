"""`Pipeline`: compose the prompt, decide between hit and miss, start the generation.

A hit goes to the local engine only; every miss goes through the miss backend. Before the first event a failed
hit becomes a miss, once. After it nothing is retried: an exception ends the stream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

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
from kvproxy.charging.charge_requests import Charging, NoCharging, Offer, OrderedPrompt
from kvproxy.charging.request_bill import Bill
from kvproxy.core import Caller, ChatRequest, Decision, LeftOut, Prompt, TextRequest
from kvproxy.documents.matching import decide as decide_by_pages
from kvproxy.documents.prompts.compose import Composer
from kvproxy.errors import ModelNotFound, NotReady
from kvproxy.events import Event
from kvproxy.explain.explaining_thread import ExplainedMiss, ExplainingThread
from kvproxy.explain.miss_explainer import AskedPrompt
from kvproxy.generation_start import GenerationStart
from kvproxy.generations import all_choices, fit_sampling, most_tokens
from kvproxy.reply import Reply
from kvproxy.telemetry.metrics import Metrics
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.answer_formats.answer_constraint import constraint_of

PREDICTION_SLACK = 256
"""Tokens of a prediction that are used beyond ``max_tokens``, since the answer may skip part of the prediction."""

Request = ChatRequest | TextRequest


class Pipeline:
    """The way from a request to its events. ``local`` is None when this proxy only forwards to other models.
    ``decide`` is pure."""

    def __init__(
        self,
        *,
        composer: Composer,
        local: LocalBackend | None,
        misses: MissBackend,
        default_max_tokens: int | None = None,
        decide: Callable[[Prompt, PageLookup], Decision] = decide_by_pages,
        metrics: Metrics | None = None,
        charging: Charging | None = None,
        explaining: ExplainingThread | None = None,
        noted: Callable[[AskedPrompt], None] = lambda _: None,
    ) -> None:
        """``default_max_tokens``: the bound of requests without one; None lets them go on to the end of the context.
        ``metrics`` counts the replies; None makes a registry of its own. ``charging``: None makes every request free.
        ``explaining``: finds the causes of misses; None finds none. ``noted`` is called with each request that has its
        first token, and returns at once.

        Example: ``Pipeline(composer=composer, local=backend, misses=misses, default_max_tokens=64)``
        """
        self.metrics = metrics or Metrics()
        self._composer = composer
        self._local = local
        self._misses = misses
        self._default_max_tokens = default_max_tokens
        self._decide = decide
        self._start = GenerationStart(composer, misses, decide)
        self.charging = charging
        self.explaining = explaining
        self._noted = noted

    def bill(self, caller: Caller, request_id: str, offer: Offer) -> Bill:
        """Make one client request's bill. Example: ``bill = pipeline.bill(caller, "chatcmpl-1", Offer())``."""
        return Bill(self.charging or NoCharging(), caller, request_id, offer, self.metrics.bill)

    async def order(self, bill: Bill, parts: Mapping[str, Request], caller: Caller) -> None:
        """Hold the price of all parts of one client request, by their ids, before any of them is served.

        Raises as ``serve`` does. Example: ``await pipeline.order(bill, {"cmpl-1.0": first}, caller)``
        """
        if self.charging is None:
            return
        ordered: list[OrderedPrompt] = []
        for id, request in parts.items():
            local = self._ready(request.model)
            prompt = await self._composer.compose_async(request, caller, local.info.max_context)
            bill.compose(id, prompt)
            reader = caller.reading(span.scope for span in prompt.documents)
            ordered.append(self._ordered(local, prompt, request, reader))
        await bill.open(next(iter(parts.values())).model, ordered)

    def claim(self, request: Request, caller: Caller, count: int) -> AbstractContextManager[PlacesClaim]:
        """Claim places in the engine for ``count`` requests like this one at a time, all parts of one client request.

        Raises InvalidRequest for more choices than the engine has places, NotReady, ModelNotFound.
        Example: ``with pipeline.claim(first, caller, 8) as claim: ...``
        """
        return self._ready(request.model).claim(caller, count * request.n, again=True)

    def at_once(self, request: Request, most: int) -> int:
        """Return the number of requests like this one that may run together with at most ``most`` choices in all; at
        least 1. Raises NotReady, ModelNotFound."""
        return max(1, min(most, self._ready(request.model).info.places) // request.n)

    async def serve(
        self,
        request: Request,
        caller: Caller,
        request_id: str,
        clock: Timings,
        claim: PlacesClaim | None = None,
        bill: Bill | None = None,
    ) -> Reply:
        """Start a request's generations; return when the prompt is prefilled and every choice has its first token.

        ``request_id`` must be unique in this process. ``claim``: one made by :meth:`claim`; without one, all
        choices are admitted or none. ``bill``: one made by :meth:`bill`, which stays open; without one the request is
        free. A document that is withdrawn while the request waits ends it. Raises PaymentRequired, QuotaExceeded,
        InvalidRequest, DocumentNotFound, Gone, ContextTooLong, CannotFit, UnsupportedSchema, Overloaded, NotReady,
        UpstreamError.
        Example: ``reply = await pipeline.serve(chat, caller, "chatcmpl-1", Timings())``
        """
        local = self._ready(request.model)
        bill = bill or Bill(NoCharging(), caller, request_id, Offer())
        with local.claim(caller, request.n) as own:
            return await self._serve(local, request, caller, request_id, clock, claim or own, bill)

    async def _serve(
        self,
        local: LocalBackend,
        request: Request,
        caller: Caller,
        id: str,
        clock: Timings,
        claim: PlacesClaim,
        bill: Bill,
    ) -> Reply:
        with clock.measure("compose"):
            generation = await self._generation(local.info, request, caller, id, claim, bill)
        with clock.waiting():
            ordered = self._ordered(local, generation.prompt, request, generation.caller)
            await bill.open(request.model, [ordered])
        line = bill.line(len(generation.prompt.token_ids), generation.prompt.documents)
        generation = replace(generation, progress=line.progress)
        decision, started, events = await self._start.hit(local, generation, clock)
        clock.decision = decision
        prompt = generation.prompt
        asked = AskedPrompt(request, prompt, generation.caller, decision)
        missed: ExplainedMiss | None = None
        further: Callable[[Generation], AsyncGenerator[Event, None]] = local.generate
        if started is None or events is None:
            missed = ExplainedMiss(self.explaining, asked, clock, self.metrics.missed)
            call, started, events = await self._start.miss(generation, request, caller, clock)
            if started.parsed:
                further = partial(self._misses.miss, call=call)
            await missed.settle()
        choices, parsed = await all_choices(events, started, generation, request.n, further, clock)
        exact, ttft_s = local.info.exact, clock.elapsed_s
        meter = self.metrics.reply(decision, started, len(prompt.token_ids), ttft_s)
        self._follow(asked, id, missed)
        line.begin(started, lambda: meter.generated)
        bill.learn(len(prompt.token_ids) - started.cached_tokens, started.prefill_s)
        return Reply(
            decision, started, tuple(choices), tuple(parsed), exact, clock, prompt, ttft_s, meter, bill, line
        )

    def _follow(self, asked: AskedPrompt, id: str, missed: ExplainedMiss | None) -> None:
        """Tell all that learn from requests of one that has its first token."""
        if missed is not None:
            missed.replied()
        if self.explaining is not None:
            self.explaining.remember(asked, id)
        self._noted(asked)

    async def _generation(
        self, info: EngineInfo, request: Request, caller: Caller, id: str, claim: PlacesClaim, bill: Bill
    ) -> Generation:
        """Compose the prompt; return the request's first choice. A quarantined document is prefilled afresh."""
        prompt = bill.composed(id) or await self._composer.compose_async(request, caller, info.max_context)
        sampling = fit_sampling(prompt, request.sampling, info, self._default_max_tokens)
        most = sampling.max_tokens or info.room(len(prompt.token_ids))
        retain = caller.retains(request.cache)
        kept = max(prompt.marks, default=0) if request.cache.explicit else None
        return Generation(
            id,
            prompt,
            sampling,
            caller.salted(request.cache).reading(span.scope for span in prompt.documents),
            fresh=any(document.quarantined for document in prompt.documents[:1]),
            constraint=constraint_of(request, prompt),
            keep_until=kept if retain else 0,
            retain=retain,
            predicted=await self._predicted(request, most),
            hint=caller.session_hint(request.cache),
            claim=claim,
        )

    def _ordered(
        self, local: LocalBackend, prompt: Prompt, request: Request, caller: Caller
    ) -> OrderedPrompt:
        def expected() -> Decision:
            with local.hold(prompt, caller) as lookup:
                return self._decide(prompt, lookup)

        most_new = most_tokens(prompt, request.sampling, local.info, self._default_max_tokens)
        return OrderedPrompt(len(prompt.token_ids), most_new, prompt.documents, request.n, expected)

    async def expected(self, request: Request, caller: Caller) -> AskedPrompt:
        """Compose a request and decide about it as ``serve`` would now, without computing or keeping anything.

        Raises as ``serve`` does. Example: ``asked = await pipeline.expected(chat, caller)``
        """
        local = self._ready(request.model)
        prompt = await self._composer.compose_async(request, caller, local.info.max_context)
        reader = caller.salted(request.cache).reading(span.scope for span in prompt.documents)
        with local.hold(prompt, reader) as lookup:
            return AskedPrompt(request, prompt, reader, self._decide(prompt, lookup))

    async def compose_async(self, request: Request, caller: Caller) -> Prompt:
        """Compose the prompt that ``serve`` would send to the local model, for counting its tokens.

        Prompts of up to at least twice the context are counted. Raises as ``serve`` does.
        """
        if self._local is None:
            raise ModelNotFound(request.model)
        return await self._composer.compose_async(request, caller, self._local.info.max_context)

    def encode_prompt(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Encode a text without a chat template. Raises ModelNotFound where there is no local model."""
        return self._tokens().encode_prompt(text, add_special_tokens=add_special_tokens)

    def decode(self, ids: Sequence[int]) -> str:
        """Decode token ids to text. Raises InvalidRequest for an id that is no token, ModelNotFound where there is no
        local model."""
        return self._tokens().decode(ids)

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each token by itself. Raises as ``decode`` does."""
        return self._tokens().token_texts(ids)

    @property
    def max_context(self) -> int:
        """The local model's context in tokens. Raises ModelNotFound where there is no local model."""
        if self._local is None:
            raise ModelNotFound("local")
        return self._local.info.max_context

    def upstreams(self) -> tuple[str, ...]:
        """Return the names of the upstream models."""
        return self._misses.models()

    def passthrough(self, model: str) -> Passthrough | None:
        """Return the raw passthrough of an upstream model, or None where it goes through litellm."""
        return self._misses.passthrough(model)

    async def upstream_left_out(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[LeftOut, ...]:
        """Return the fields that the upstream model will not see. Raises InvalidRequest for a body that cannot be
        sent."""
        return await self._misses.left_out(endpoint, body)

    async def upstream(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        """Return an upstream model's answer unchanged. Raises UpstreamError."""
        return await self._misses.complete(endpoint, body)

    def upstream_stream(
        self, endpoint: Endpoint, body: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield an upstream model's events unchanged. Raises UpstreamError. The generator must be closed."""
        return self._misses.stream(endpoint, body)

    def _tokens(self) -> Composer:
        if self._local is None:
            raise ModelNotFound("local")
        return self._composer

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
