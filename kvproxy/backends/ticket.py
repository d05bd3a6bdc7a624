"""One miss on its way through litellm's router, which decides who answers but carries none of the text."""

from __future__ import annotations

from kvproxy.backends.base import Generation, LocalBackend
from kvproxy.events import Started


class Ticket:
    """One miss: lets the provider start the engine, and the caller read what it says."""

    def __init__(self, local: LocalBackend, generation: Generation) -> None:
        self.generation = generation
        self.events = local.generate(generation)
        self.started: Started | None = None
        self.error: Exception | None = None

    async def start(self) -> None:
        """Waits for the first token."""
        try:
            first = await anext(self.events, None)
            if not isinstance(first, Started):
                raise TypeError(f"the engine began with {type(first).__name__}")
        except Exception as e:
            self.error = e
            raise
        self.started = first

    async def aclose(self) -> None:
        await self.events.aclose()
