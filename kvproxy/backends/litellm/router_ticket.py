"""`Ticket`: one miss on its way through litellm's router, which picks the backend and carries none of the text."""

from __future__ import annotations

import asyncio

from kvproxy.backends.base import Generation, LocalBackend
from kvproxy.events import Started


class Ticket:
    """One miss: lets the provider start the engine, and the caller read its events.

    It belongs to the event loop that made it, the engine's; only ``start`` is called from another.
    """

    def __init__(self, local: LocalBackend, generation: Generation) -> None:
        self.generation = generation
        self.events = local.generate(generation)
        self.started: Started | None = None
        self.error: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._starting: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Wait for the first token, in the ticket's own loop. Raises CancelledError for one that is closed."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._start(), self._loop))

    async def _start(self) -> None:
        if self._closed:
            raise asyncio.CancelledError
        self._starting = asyncio.current_task()
        try:
            first = await anext(self.events, None)
            if not isinstance(first, Started):
                raise TypeError(f"the engine began with {type(first).__name__}")
        except Exception as e:
            self.error = e
            raise
        self.started = first

    async def aclose(self) -> None:
        """End the generation. A start that still waits ends first: a generator cannot be closed while it runs."""
        self._closed = True
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self.events.aclose()
