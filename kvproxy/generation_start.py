"""`GenerationStart`: the first event of a prompt's generation, as a hit of the local engine or as a miss."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from kvproxy.backends.base import Generation, LocalBackend, MissBackend, PageLookup
from kvproxy.core import Caller, ChatRequest, Decision, Miss, MissReason, Prompt, TextRequest
from kvproxy.documents.library.served_documents import while_served
from kvproxy.documents.prompts.compose import Composer
from kvproxy.errors import Gone, HitLost, InvalidRequest, Retryable
from kvproxy.events import Event, Started
from kvproxy.generations import first_event
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.telemetry.request_timer import Timings

logger = logging.getLogger(__name__)

REFUSALS = (InvalidRequest, Retryable)
"""Errors about the request or the engine's load, not about its pages: a miss would end in the same error."""

_TOKEN_CHARACTERS = 4
"""Characters of text per token of a prompt, on average."""


class GenerationStart:
    """The two ways to a generation's first event. A document that is withdrawn while it is waited for ends the wait.

    Example:
        ``decision, started, events = await start.hit(local, generation, Timings())``
    """

    def __init__(
        self, composer: Composer, misses: MissBackend, decide: Callable[[Prompt, PageLookup], Decision]
    ) -> None:
        """Take the pipeline's parts. ``decide`` is pure."""
        self._composer, self._misses, self._decide = composer, misses, decide

    async def hit(
        self, local: LocalBackend, generation: Generation, clock: Timings
    ) -> tuple[Decision, Started | None, AsyncGenerator[Event, None] | None]:
        """Look the prompt's pages up and decide; start the generation of a hit.

        Returns the decision, and for a hit that has started its first event and the generator of the others.
        The lookup holds its pages until the engine has started, which then holds its own. It ends before the
        miss path: a miss needs no page, and pages held for queued requests are not available to the running one.

        Example:
            ``decision, started, events = await start.hit(local, generation, Timings())``
        """
        with ExitStack() as held:
            with clock.measure("match"):
                lookup = held.enter_context(local.hold(generation.prompt, generation.caller))
                decision = self._decide(generation.prompt, lookup)
            if isinstance(decision, Miss):
                return decision, None, None
            required = replace(generation, require_cached=decision.cached_tokens)
            try:
                async with while_served(self._composer.library, generation.prompt.documents):
                    events = local.generate(required)
                    return decision, await first_event(events, clock), events
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
            except Exception:
                logger.exception("%s: hit path failed, served as a miss", generation.request_id)
                reason = MissReason.ENGINE_FAILED
            return Miss(reason, decision.document), None, None

    async def miss(
        self, generation: Generation, request: ChatRequest | TextRequest, caller: Caller, clock: Timings
    ) -> tuple[dict[str, Any], Started, AsyncGenerator[Event, None]]:
        """Start a miss; return the call for other models, the first event and the generator of the others.

        Example:
            ``call, started, events = await start.miss(generation, chat, caller, Timings())``
        """
        with clock.measure("compose"):
            size = len(generation.prompt.token_ids) * _TOKEN_CHARACTERS
            call = await off_loop_if_large(size, lambda: self._composer.plain_call(request, caller))
        named = [span for span in generation.prompt.documents if span.by_reference]
        async with while_served(self._composer.library, named):
            events = self._misses.miss(generation, call)
            return call, await first_event(events, clock), events
