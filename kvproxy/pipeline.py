"""`Pipeline`: compose the prompt, decide between hit and miss, start the generation.

A hit goes only to the backend that holds the model's KV, the local engine or a fleet; every miss goes through the miss
backend. Before the first event a failed hit becomes a miss, once. After it nothing is retried: an exception ends the
stream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from kvproxy.backends.base import (
    Endpoint,
    Generation,
    MissBackend,
    PageLookup,
    Passthrough,
    PlacesClaim,
)
from kvproxy.charging.charge_requests import Charging, NoCharging, Offer, OrderedPrompt
from kvproxy.charging.request_bill import Bill, BillLine
from kvproxy.core import Caller, ChatRequest, Decision, LeftOut, Prompt, TextRequest
from kvproxy.documents.matching import decide as decide_by_pages
from kvproxy.documents.matching import decide_cold
from kvproxy.events import Event, Started
from kvproxy.explain.explaining_thread import ExplainedMiss, ExplainingThread
from kvproxy.explain.miss_explainer import AskedPrompt
from kvproxy.generation_start import GenerationStart
from kvproxy.generations import all_choices, fit_sampling, most_tokens
from kvproxy.reply import Reply
from kvproxy.served_model import ServedModel, ServedModels
from kvproxy.telemetry.metrics import Metrics
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.answer_formats.answer_constraint import constraint_of

PREDICTION_SLACK = 256
"""Tokens of a prediction that are used beyond ``max_tokens``, since the answer may skip part of the prediction."""

Request = ChatRequest | TextRequest


class Pipeline:
    """The way from a request to its events. ``decide`` is pure."""

    def __init__(
        self,
        *,
        models: Sequence[ServedModel],
        misses: MissBackend,
        default_max_tokens: int | None = None,
        decide: Callable[[Prompt, PageLookup], Decision] = decide_by_pages,
        metrics: Metrics | None = None,
        charging: Charging | None = None,
        explaining: ExplainingThread | None = None,
        noted: Callable[[AskedPrompt], None] = lambda _: None,
    ) -> None:
        """``models``: those whose KV is managed here, the primary first, chosen by a request's ``model``; none where
        this proxy only forwards to other models. ``default_max_tokens``: the bound of requests without one; None lets
        them go on to the end of the context. ``metrics`` counts the replies; None makes a registry of its own.
        ``charging``: None makes every request free. ``explaining``: finds the causes of misses; None finds none.
        ``noted`` is called with each request that has its first token, and returns at once.

        Example: ``Pipeline(models=[ServedModel.of(backend, composer)], misses=misses, default_max_tokens=64)``
        """
        self.metrics = metrics or Metrics()
        self.models = ServedModels(models)
        self._misses = misses
        self._default_max_tokens = default_max_tokens
        self._decide = decide
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
            model = self._ready(request)
            prompt = await model.compose(request, caller)
            bill.compose(id, prompt)
            reader = caller.salted(request.cache).reading(span.scope for span in prompt.documents)
            ordered.append(self._ordered(model, prompt, request, reader))
        await bill.open(next(iter(parts.values())).model, ordered)

    def claim(self, request: Request, caller: Caller, count: int) -> AbstractContextManager[PlacesClaim]:
        """Claim places in the engine for ``count`` requests like this one at a time, all parts of one client request.

        Raises InvalidRequest for more choices than the engine has places, NotReady, ModelNotFound.
        Example: ``with pipeline.claim(first, caller, 8) as claim: ...``
        """
        return self._ready(request).backend.claim(caller, count * request.n, again=True)

    def at_once(self, request: Request, most: int) -> int:
        """Return the number of requests like this one that may run together with at most ``most`` choices in all; at
        least 1. Raises NotReady, ModelNotFound."""
        return max(1, min(most, self._ready(request).backend.info.places) // request.n)

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
        model = self._ready(request)
        bill = bill or Bill(NoCharging(), caller, request_id, Offer())
        with model.backend.claim(caller, request.n) as own:
            return await self._serve(model, request, caller, request_id, clock, claim or own, bill)

    async def _serve(
        self,
        model: ServedModel,
        request: Request,
        caller: Caller,
        id: str,
        clock: Timings,
        claim: PlacesClaim,
        bill: Bill,
    ) -> Reply:
        with clock.measure("compose"):
            generation = await self._generation(model, request, caller, id, claim, bill)
        with clock.waiting():
            await bill.open(
                request.model, [self._ordered(model, generation.prompt, request, generation.caller)]
            )
        line, generation = self._billed(bill, model, generation, request.n)
        start = GenerationStart(model, self._misses, self._deciding(request))
        tried = await start.hit(generation, model.looking(generation.caller, request.cache), clock)
        clock.decision = decision = tried.decision
        generation, started, events = tried.generation, tried.started, tried.events
        prompt = generation.prompt
        asked = AskedPrompt(request, prompt, generation.caller, decision)
        missed: ExplainedMiss | None = None
        further: Callable[[Generation], AsyncGenerator[Event, None]] = model.backend.generate
        if started is None or events is None:
            missed = ExplainedMiss(self.explaining, asked, clock, self.metrics.missed)
            call, started, events = await start.miss(generation, request, caller, clock)
            if started.parsed:
                further = partial(self._misses.miss, call=call)
            await missed.settle()
        choices, parsed = await all_choices(events, started, generation, request.n, further, clock)
        exact, ttft_s = model.backend.info.exact, clock.elapsed_s
        meter = self.metrics.reply(decision, started, len(prompt.token_ids), ttft_s, model.name)
        self._follow(asked, id, missed)
        line.begin(started, lambda: meter.generated, lambda: meter.reported)
        _learn(bill, prompt, started)
        return Reply(
            decision, started, tuple(choices), tuple(parsed), exact, clock, prompt, ttft_s, meter, bill, line
        )

    def _billed(
        self, bill: Bill, model: ServedModel, generation: Generation, choices: int
    ) -> tuple[BillLine, Generation]:
        """Begin a generation's line of the bill; return the generation with the progress that the line follows."""
        info, prompt = model.backend.info, generation.prompt
        tokens = len(prompt.token_ids)
        most = choices * (generation.sampling.max_tokens or info.room(tokens))
        line = bill.line(tokens, prompt.documents, confirmed=not info.fleet, most_new=most)
        return line, replace(generation, progress=line.progress)

    def _follow(self, asked: AskedPrompt, id: str, missed: ExplainedMiss | None) -> None:
        """Tell all that learn from requests of one that has its first token."""
        if missed is not None:
            missed.replied()
        if self.explaining is not None:
            self.explaining.remember(asked, id)
        self._noted(asked)

    async def _generation(
        self, model: ServedModel, request: Request, caller: Caller, id: str, claim: PlacesClaim, bill: Bill
    ) -> Generation:
        """Compose the prompt; return the request's first choice. A quarantined document is prefilled afresh, and so is
        what a client asks for."""
        info = model.backend.info
        prompt = bill.composed(id) or await model.compose(request, caller)
        sampling = fit_sampling(prompt, request.sampling, info, self._default_max_tokens)
        most = sampling.max_tokens or info.room(len(prompt.token_ids))
        retain = caller.retains(request.cache)
        kept = max(prompt.marks, default=0) if request.cache.explicit else None
        return Generation(
            id,
            prompt,
            sampling,
            caller.salted(request.cache).reading(span.scope for span in prompt.documents),
            fresh=not request.cache.reuse or any(span.quarantined for span in prompt.documents[:1]),
            constraint=constraint_of(request, prompt),
            keep_until=kept if retain else 0,
            retain=retain,
            predicted=await _predicted(model, request, most),
            hint=caller.session_hint(request.cache),
            claim=claim,
            model=model.name,
        )

    def _ordered(self, model: ServedModel, prompt: Prompt, request: Request, caller: Caller) -> OrderedPrompt:
        def expected() -> Decision:
            with model.backend.hold(prompt, model.looking(caller, request.cache)) as lookup:
                return self._deciding(request)(prompt, lookup)

        most_new = most_tokens(prompt, request.sampling, model.backend.info, self._default_max_tokens)
        return OrderedPrompt(len(prompt.token_ids), most_new, prompt.documents, request.n, expected)

    async def expected(self, request: Request, caller: Caller) -> AskedPrompt:
        """Compose a request and decide about it as ``serve`` would now, without computing or keeping anything.

        Raises as ``serve`` does. Example: ``asked = await pipeline.expected(chat, caller)``
        """
        model = self._ready(request)
        prompt = await model.compose(request, caller)
        reader = caller.salted(request.cache).reading(span.scope for span in prompt.documents)
        with model.backend.hold(prompt, model.looking(reader, request.cache)) as lookup:
            return AskedPrompt(request, prompt, reader, self._deciding(request)(prompt, lookup))

    def _deciding(self, request: Request) -> Callable[[Prompt, PageLookup], Decision]:
        return self._decide if request.cache.reuse else decide_cold

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

    def _ready(self, request: Request) -> ServedModel:
        """Return the model that a request names. Raises ModelNotFound, NotReady."""
        model = self.models.named(request.model)
        model.ready()
        return model


async def _predicted(model: ServedModel, request: Request, max_tokens: int) -> tuple[int, ...] | None:
    if not isinstance(request, ChatRequest) or request.prediction is None:
        return None
    return await model.composer.predicted(request.prediction, max_tokens + PREDICTION_SLACK)


def _learn(bill: Bill, prompt: Prompt, started: Started) -> None:
    """Tell the speed of a prefill; a fleet's is known once its replica has reported what it computed."""
    if started.confirmed:
        bill.learn(len(prompt.token_ids) - started.cached_tokens, started.prefill_s)
