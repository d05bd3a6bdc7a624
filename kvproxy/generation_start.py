"""`GenerationStart`: the first event of a prompt's generation, as a hit of its model's backend or as a miss."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from kvproxy.backends.base import Generation, MissBackend, PageLookup
from kvproxy.core import Caller, ChatRequest, Decision, Miss, MissReason, Prompt, TextRequest
from kvproxy.documents.library.served_documents import while_served
from kvproxy.errors import Gone, HitLost, InvalidRequest, NotReady, Retryable, UpstreamError
from kvproxy.events import Event, Started
from kvproxy.generations import first_event
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.served_model import ServedModel
from kvproxy.telemetry.request_timer import Timings

logger = logging.getLogger(__name__)

REFUSALS = (InvalidRequest, Retryable)
"""Errors about the request or the engine's load, not about its pages: a miss would end in the same error."""

_TOKEN_CHARACTERS = 4
"""Characters of text per token of a prompt, on average."""


@dataclass(frozen=True, slots=True)
class TriedHit:
    """The outcome of looking a prompt up: a started hit, or the decision that it is a miss."""

    decision: Decision
    generation: Generation
    """The generation, with the replica that the lookup chose where its model is a fleet's."""
    started: Started | None = None
    """The first event of a hit; None for a miss."""
    events: AsyncGenerator[Event, None] | None = None
    """The events after it."""


class GenerationStart:
    """The two ways to a generation's first event, for one model. A document that is withdrawn while it is waited for
    ends the wait.

    Example:
        ``tried = await GenerationStart(model, misses, decide).hit(generation, caller, Timings())``
    """

    def __init__(
        self, model: ServedModel, misses: MissBackend, decide: Callable[[Prompt, PageLookup], Decision]
    ) -> None:
        """Take the pipeline's parts. ``decide`` is pure."""
        self._model, self._misses, self._decide = model, misses, decide

    async def hit(self, generation: Generation, looking: Caller, clock: Timings) -> TriedHit:
        """Look the prompt's pages up and decide; start the generation of a hit. ``looking``: the caller that they are
        looked up for: ``ServedModel.looking``.

        The lookup holds its pages until the engine has started, which then holds its own. It ends before the
        miss path: a miss needs no page, and pages held for queued requests are not available to the running one.

        Example: ``tried = await start.hit(generation, model.looking(generation.caller, hints), Timings())``
        """
        with ExitStack() as held:
            with clock.measure("match"):
                lookup = held.enter_context(self._model.backend.hold(generation.prompt, looking))
                decision = self._decide(generation.prompt, lookup)
            generation = replace(generation, choice=lookup.choice)
            if isinstance(decision, Miss):
                return TriedHit(decision, generation)
            required = replace(generation, require_cached=decision.cached_tokens)
            try:
                async with while_served(self._model.library, generation.prompt.documents):
                    events = self._model.backend.generate(required)
                    return TriedHit(decision, generation, await first_event(events, clock), events)
            except Gone:
                # Whoever sent the text has its answer, computed from that text; the name alone has none any more.
                if any(span.by_reference for span in generation.prompt.documents):
                    raise
                reason = MissReason.NOT_RESIDENT
            except HitLost as e:
                logger.warning("%s: hit lost, served as a miss: %s", generation.request_id, e.message)
                reason = e.reason
            except REFUSALS:
                raise
            except (NotReady, UpstreamError) as e:
                # Of a fleet: every replica failed, each named in the log. The miss path knows the fallbacks.
                logger.warning(
                    "%s: no replica answered, tried as a miss: %s", generation.request_id, e.message
                )
                reason = MissReason.ENGINE_FAILED
            except Exception:
                logger.exception("%s: hit path failed, served as a miss", generation.request_id)
                reason = MissReason.ENGINE_FAILED
            return TriedHit(Miss(reason, decision.document), generation)

    async def miss(
        self, generation: Generation, request: ChatRequest | TextRequest, caller: Caller, clock: Timings
    ) -> tuple[dict[str, Any], Started, AsyncGenerator[Event, None]]:
        """Start a miss; return the call for other models, the first event and the generator of the others.

        Example:
            ``call, started, events = await start.miss(generation, chat, caller, Timings())``
        """
        with clock.measure("compose"):
            size = len(generation.prompt.token_ids) * _TOKEN_CHARACTERS
            call = await off_loop_if_large(size, lambda: self._model.composer.plain_call(request, caller))
        named = [span for span in generation.prompt.documents if span.by_reference]
        async with while_served(self._model.library, named):
            events = self._misses.miss(generation, call)
            return call, await first_event(events, clock), events
