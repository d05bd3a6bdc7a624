"""`run_job`: the events of one job, from the engine's thread to the event loop that awaits them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from kvproxy.backends.base import PlacesClaim
from kvproxy.engine.loop.engine import Engine
from kvproxy.engine.loop.sequence import Job, Sequence
from kvproxy.events import Event, Finished


async def run_job(
    engine: Engine,
    job: Job,
    *,
    progress: Callable[[int, int], None] | None = None,
    started: Callable[[Sequence], None] | None = None,
    claim: PlacesClaim | None = None,
) -> AsyncGenerator[Event, None]:
    """Submit a job and yield its events; closing the generator cancels it.

    ``progress(computed, total)``: called on the event loop after each tile of the prompt. ``started`` gets the sequence
    at once. Raises what ``Engine.submit`` does, and the exception that ended the job.

    Example: ``async for event in run_job(engine, job): ...``
    """
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event | BaseException] = asyncio.Queue()

    def emit(event: Event | BaseException) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody is left to tell.
            loop.call_soon_threadsafe(events.put_nowait, event)

    def on_progress(done: int, total: int) -> None:
        if progress is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(progress, done, total)

    sequence = engine.submit(job, emit, on_progress if progress is not None else None, claim)
    if started is not None:
        started(sequence)
    try:
        while True:
            event = await events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Finished):
                return
    finally:
        engine.cancel(sequence)
