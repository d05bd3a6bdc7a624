"""`UsageSeries`: the figures of the last two hours, a point for each minute, in a ring of fixed size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvproxy.telemetry.usage.ended_request import EndedRequest
from kvproxy.telemetry.usage.ttft_histogram import NO_TTFT, TtftHistogram, TtftQuantiles

STEP_S = 60
STEPS = 120


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """The requests that ended within one step."""

    at: int
    """Unix seconds of its beginning, a multiple of STEP_S."""
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    hit_ttft: TtftQuantiles = NO_TTFT
    miss_ttft: TtftQuantiles = NO_TTFT
    misses: Mapping[str, int] = field(default_factory=dict)
    """Misses by cause."""


class _Slot:
    __slots__ = ("cached_tokens", "hit_ttft", "miss_ttft", "misses", "prompt_tokens", "requests", "step")

    def __init__(self, step: int) -> None:
        self.step = step
        self.requests = self.prompt_tokens = self.cached_tokens = 0
        self.hit_ttft, self.miss_ttft = TtftHistogram(), TtftHistogram()
        self.misses: dict[str, int] = {}

    def count(self, ended: EndedRequest) -> None:
        self.requests += 1
        if ended.hit is None:
            return
        if not ended.asked_cold:
            self.prompt_tokens += ended.prompt_tokens
            self.cached_tokens += ended.cached_tokens
        if ended.ttft_s is not None:
            (self.hit_ttft if ended.hit else self.miss_ttft).add(ended.ttft_s)
        if not ended.hit:
            cause = ended.cause or "unknown"
            self.misses[cause] = self.misses.get(cause, 0) + 1

    def point(self) -> UsagePoint:
        return UsagePoint(
            self.step * STEP_S,
            self.requests,
            self.prompt_tokens,
            self.cached_tokens,
            self.hit_ttft.quantiles(),
            self.miss_ttft.quantiles(),
            dict(self.misses),
        )


class UsageSeries:
    """A ring of STEPS slots; a minute without a request has none.

    Example: ``series = UsageSeries(); series.count(ended); series.points(time.time())``
    """

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: list[_Slot | None] = [None] * STEPS

    def count(self, ended: EndedRequest) -> None:
        """Add one request to the step of its end; the step takes the place of the one STEPS earlier, or of one that the
        clock was ahead with before it was put right."""
        step = int(ended.at // STEP_S)
        slot = self._slots[step % STEPS]
        if slot is None or slot.step != step:
            slot = self._slots[step % STEPS] = _Slot(step)
        slot.count(ended)

    def points(self, now: float) -> tuple[UsagePoint, ...]:
        """Return the STEPS points up to ``now``, oldest first."""
        last = int(now // STEP_S)
        return tuple(self._point(step) for step in range(last - STEPS + 1, last + 1))

    def ttft(self, now: float) -> tuple[TtftQuantiles, TtftQuantiles]:
        """Return the quantiles of all hits, and of all misses, of the points up to ``now``."""
        last = now // STEP_S
        slots = [slot for slot in self._slots if slot is not None and last - STEPS < slot.step <= last]
        hits, misses = (slot.hit_ttft for slot in slots), (slot.miss_ttft for slot in slots)
        return TtftHistogram.together(hits), TtftHistogram.together(misses)

    def _point(self, step: int) -> UsagePoint:
        slot = self._slots[step % STEPS]
        return slot.point() if slot is not None and slot.step == step else UsagePoint(step * STEP_S)
