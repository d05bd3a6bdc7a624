"""The bounds of a generation, its variants for further choices, and its first event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from kvproxy.backends.base import EngineInfo, Generation
from kvproxy.core import Prompt, Sampling
from kvproxy.errors import ContextTooLong
from kvproxy.events import Event, Started
from kvproxy.telemetry.request_timer import Timings

ROOM_SHARE = 8
"""A ``max_tokens`` beyond the context is reduced to the room left, where that is at least 1/ROOM_SHARE of the context;
otherwise the request is refused."""


def fit_sampling(prompt: Prompt, sampling: Sampling, info: EngineInfo, default: int | None) -> Sampling:
    """Bound ``max_tokens``, the client's or the default, by the room that is left in the context.

    Agents send the largest answer that their usual model gives, 32,000 tokens and more: a bound that is never
    reached. It is reduced to the room left, unless that is small: then ContextTooLong, so that the agent shortens
    its conversation.

    Example:
        ``fit_sampling(prompt, Sampling(max_tokens=32_000), backend.info, 4096)``
    """
    prompt_tokens, wanted = len(prompt.token_ids), sampling.max_tokens
    room = info.max_context - prompt_tokens
    if room < min(wanted or 1, max(1, info.max_context // ROOM_SHARE)):
        raise ContextTooLong(
            limit=info.max_context, prompt_tokens=prompt_tokens, completion_tokens=wanted or 1
        )
    if wanted is None:
        wanted = default
    if wanted is None:
        return sampling
    return replace(sampling, max_tokens=max(1, min(wanted, info.room(prompt_tokens))))


def most_tokens(prompt: Prompt, sampling: Sampling, info: EngineInfo, default: int | None) -> int:
    """Return the tokens that an answer may have at most. Raises ContextTooLong as ``fit_sampling``.

    Example:
        ``most_tokens(prompt, Sampling(max_tokens=64), backend.info, None)``
    """
    fitted = fit_sampling(prompt, sampling, info, default)
    return fitted.max_tokens or info.room(len(prompt.token_ids))


def vary_sampling(sampling: Sampling, index: int) -> Sampling:
    """Return the sampling of a further choice: a seed is varied, so that choices differ and are repeatable."""
    if sampling.seed is None:
        return sampling
    return replace(sampling, seed=(sampling.seed + index + 2**63) % 2**64 - 2**63)


async def first_event(events: AsyncGenerator[Event, None], clock: Timings) -> Started:
    """Return the first event. On any failure, cancellation included, the generator is closed."""
    try:
        with clock.waiting():
            first = await anext(events, None)
        if not isinstance(first, Started):
            raise RuntimeError(f"a generation began with {type(first).__name__}")
        clock.note_first()
        return first
    except BaseException:
        await events.aclose()
        raise


async def all_choices(
    events: AsyncGenerator[Event, None],
    started: Started,
    generation: Generation,
    n: int,
    further: Callable[[Generation], AsyncGenerator[Event, None]],
    clock: Timings,
) -> tuple[list[AsyncGenerator[Event, None]], list[bool]]:
    """Start the choices after the first; return all, and ``Started.parsed`` of each. A failure closes them.

    Example:
        ``choices, parsed = await all_choices(events, started, generation, 2, backend.generate, Timings())``
    """
    choices, parsed = [events], [started.parsed]
    try:
        for index in range(1, n):
            # The prompt's pages are in memory by now, so each further choice costs its answer only, unless
            # the client asked that no pages be kept.
            varied = vary_sampling(generation.sampling, index)
            id = f"{generation.request_id}-{index}"
            choices.append(further(replace(generation, request_id=id, sampling=varied, progress=None)))
            parsed.append((await first_event(choices[-1], clock)).parsed)
    except BaseException:
        for choice in choices:
            await choice.aclose()
        raise
    return choices, parsed
