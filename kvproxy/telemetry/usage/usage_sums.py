"""`UsageSums`: what a number of requests came to: requests, tokens, seconds and money saved; and the tally of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kvproxy.telemetry.usage.ended_request import EndedRequest


@dataclass(frozen=True, slots=True)
class UsageSums:
    """Sums over requests. ``hits`` and ``misses`` are the requests whose prompt a served model was asked with; their
    tokens are those of ``prompt_tokens``. Requests that asked to be computed from scratch are ``cold``, and neither:
    the playground's cold side is no hit that was lost."""

    requests: int = 0
    hits: int = 0
    misses: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    saved_us: int = 0
    """Microseconds of prefill that the cached tokens would have taken, at the speed measured here."""
    saved: Mapping[str, int] = field(default_factory=dict)
    """Nano-units below the cold price, by currency; below zero where readers paid more."""
    cold: int = 0

    @property
    def saved_s(self) -> float:
        """Seconds of prefill that were not computed."""
        return self.saved_us / 1e6

    @property
    def hit_share(self) -> float | None:
        """The cached part of all prompt tokens, 0 to 1; None before the first prompt."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


NO_USAGE = UsageSums()
"""Of no request."""


class UsageTally:
    """Mutable sums. Example: ``tally = UsageTally(); tally.count(ended); tally.sums()``."""

    __slots__ = (
        *("cached_tokens", "completion_tokens", "hits", "misses", "prompt_tokens", "requests", "saved"),
        *("saved_us", "cold"),
    )

    def __init__(self) -> None:
        self.requests = self.hits = self.misses = self.cold = 0
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.saved_us = 0
        self.saved: dict[str, int] = {}

    def count(self, ended: EndedRequest) -> None:
        """Add one request."""
        self.requests += 1
        if ended.asked_cold:
            self.cold += 1
        elif ended.hit is not None:
            self.hits += ended.hit
            self.misses += not ended.hit
            self.prompt_tokens += ended.prompt_tokens
            self.cached_tokens += ended.cached_tokens
            self.completion_tokens += ended.completion_tokens
            self.saved_us += ended.saved_us
        if ended.currency:
            self.saved[ended.currency] = self.saved.get(ended.currency, 0) + ended.saved_nano

    def add(self, sums: UsageSums) -> None:
        """Add other sums."""
        self.requests += sums.requests
        self.hits += sums.hits
        self.misses += sums.misses
        self.cold += sums.cold
        self.prompt_tokens += sums.prompt_tokens
        self.cached_tokens += sums.cached_tokens
        self.completion_tokens += sums.completion_tokens
        self.saved_us += sums.saved_us
        for currency, nano in sums.saved.items():
            self.saved[currency] = self.saved.get(currency, 0) + nano

    def sums(self) -> UsageSums:
        """Return the sums as they are now."""
        return UsageSums(
            self.requests,
            self.hits,
            self.misses,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
            self.saved_us,
            dict(self.saved),
            self.cold,
        )


def added(each: Iterable[UsageSums]) -> UsageSums:
    """Return the sums of all of ``each``."""
    tally = UsageTally()
    for sums in each:
        tally.add(sums)
    return tally.sums()
