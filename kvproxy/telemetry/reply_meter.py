"""`Meter`: the tokens of one reply, counted while it is sent."""

from __future__ import annotations

import time
from collections.abc import Callable

from kvproxy.events import Event, Finished, FinishReason, Started, TextDelta


class Meter:
    """Token counts of one reply, updated while it is sent and added to the metrics when it is closed."""

    def __init__(self, started: Started, prompt_tokens: int, close: Callable[[Meter], None]) -> None:
        self._started, self._began = started, time.perf_counter()
        self._prompt_tokens = prompt_tokens
        self._close: Callable[[Meter], None] | None = close
        self._generated: dict[int, int] = {}
        self._reported: int | None = None
        self._told = False
        self.reasons: dict[int, FinishReason] = {}
        """The reasons that choices ended with, as the client is told them."""
        self.ended_at: float | None = None
        """``time.perf_counter`` at the last token so far that ended a choice, or when the reply was closed."""

    def event(self, choice: int, event: Event) -> None:
        """Count an event of the engine's. A reply that is cancelled counts up to its last event."""
        if isinstance(event, TextDelta):
            self._generated[choice] = self._generated.get(choice, 0) + event.tokens
        elif isinstance(event, Finished):
            self.ended_at = time.perf_counter()
            self._generated[choice] = max(0, event.usage.completion_tokens)  # a counter only grows
            if choice == 0:  # the prompt counts once, as its bill counts it
                self._reported, self._told = event.usage.cached_tokens, event.usage.reported

    def close(self) -> None:
        """Add the counts to the metrics. Idempotent."""
        self.ended_at = self.ended_at or time.perf_counter()
        close, self._close = self._close, None
        if close is not None:
            close(self)

    @property
    def closed(self) -> bool:
        """Whether its counts were added."""
        return self._close is None

    @property
    def reported(self) -> int | None:
        """Cached tokens of the first choice's final usage, 0 where its replica tells none; None before it has ended."""
        return self._reported

    @property
    def prompt_tokens(self) -> dict[str, int]:
        """Prompt tokens by the source of their KV."""
        started, prompt = self._started, self._prompt_tokens
        if started.parsed:
            return {"upstream": prompt}
        if started.confirmed:
            return {"cached": started.cached_tokens, "prefilled": max(0, prompt - started.cached_tokens)}
        if self._reported is None:
            expected = min(started.cached_tokens, prompt)
            return {"unconfirmed": expected, "prefilled": prompt - expected}
        cached = min(max(self._reported, 0), prompt)
        return {"cached": cached, "prefilled": prompt - cached}

    @property
    def expectation(self) -> str | None:
        """The reported number of cached tokens beside the one that was expected of a fleet's replica: ``equal``,
        ``fewer``, ``more`` or ``unreported``; None where none was expected."""
        if self._started.parsed or self._started.confirmed:
            return None
        if self._reported is None or not self._told:
            return "unreported"
        difference = self._reported - self._started.cached_tokens
        return "equal" if difference == 0 else "fewer" if difference < 0 else "more"

    @property
    def token_s(self) -> float | None:
        """Seconds for each token behind the first one, of the longest choice, as the client got them; None where there
        is no second one, and for an upstream's answer, whose pieces are no tokens."""
        steps = max(self._generated.values(), default=0) - 1
        if self._started.parsed or self.ended_at is None or steps < 1:
            return None
        return (self.ended_at - self._began) / steps

    @property
    def generated(self) -> int:
        """Tokens generated so far, of all choices."""
        return sum(self._generated.values())
