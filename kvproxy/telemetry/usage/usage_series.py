"""`UsageSeries`: the figures of the last two hours, a point for each minute, in a ring of fixed size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kvproxy.core.miss_causes import MissCause
from kvproxy.telemetry.usage.ended_request import EndedRequest
from kvproxy.telemetry.usage.packed_counts import pack_counts, unpack_counts
from kvproxy.telemetry.usage.ttft_histogram import NO_TTFT, TtftHistogram, TtftQuantiles, quantiles_of

STEP_S = 60
STEPS = 120

UNKNOWN = "unknown"
"""The cause of misses without one of the closed list."""


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


_CAUSES = tuple(cause.value for cause in MissCause)
_NUMBERS = {cause: number for number, cause in enumerate(_CAUSES)}


class _Slot:
    __slots__ = ("_misses", "cached_tokens", "hit_ttft", "miss_ttft", "prompt_tokens", "requests", "step")

    def __init__(self, step: int) -> None:
        self.step = step
        self.requests = self.prompt_tokens = self.cached_tokens = 0
        self.hit_ttft, self.miss_ttft = TtftHistogram(), TtftHistogram()
        self._misses: dict[int, int] | bytes = {}
        """By the cause's number; packed once the step is over."""

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
            cause = _NUMBERS.get(ended.cause or "", len(_CAUSES))
            misses = self._misses
            if isinstance(misses, bytes):
                misses = self._misses = unpack_counts(misses)
            misses[cause] = misses.get(cause, 0) + 1

    def pack(self) -> None:
        """Take less memory: the step is over."""
        self.hit_ttft.pack()
        self.miss_ttft.pack()
        if not isinstance(self._misses, bytes):
            self._misses = pack_counts(self._misses)

    def point(self) -> UsagePoint:
        misses = unpack_counts(self._misses) if isinstance(self._misses, bytes) else self._misses
        return UsagePoint(
            self.step * STEP_S,
            self.requests,
            self.prompt_tokens,
            self.cached_tokens,
            self.hit_ttft.quantiles(),
            self.miss_ttft.quantiles(),
            {(*_CAUSES, UNKNOWN)[cause]: count for cause, count in misses.items()},
        )


@dataclass(frozen=True, slots=True)
class _PastTtft:
    """The times of all steps of the ring before ``step``, together."""

    step: int
    hits: Counter[int]
    misses: Counter[int]


class UsageSeries:
    """A ring of STEPS slots; a minute without a request has none.

    Example: ``series = UsageSeries(); series.count(ended); series.points(time.time())``
    """

    __slots__ = ("_newest", "_past", "_slots")

    def __init__(self) -> None:
        self._slots: list[_Slot | None] = [None] * STEPS
        self._newest: _Slot | None = None
        self._past: _PastTtft | None = None
        """Made when somebody looks, once a step: adding 120 histograms up takes a millisecond."""

    def count(self, ended: EndedRequest) -> None:
        """Add one request to the step of its end; the step takes the place of the one STEPS earlier, or of one that the
        clock was ahead with before it was put right."""
        step = int(ended.at // STEP_S)
        slot = self._slots[step % STEPS]
        if slot is None or slot.step != step:
            slot = self._slots[step % STEPS] = _Slot(step)
            if self._newest is not None:
                self._newest.pack()
            self._newest = slot
        slot.count(ended)
        if self._past is not None and step < self._past.step:
            self._past = None

    def points(self, now: float) -> tuple[UsagePoint, ...]:
        """Return the STEPS points up to ``now``, oldest first."""
        last = int(now // STEP_S)
        return tuple(self._point(step) for step in range(last - STEPS + 1, last + 1))

    def ttft(self, now: float) -> tuple[TtftQuantiles, TtftQuantiles]:
        """Return the quantiles of all hits, and of all misses, of the points up to ``now``."""
        last = int(now // STEP_S)
        if self._past is None or self._past.step != last:
            self._past = _PastTtft(last, *self._together(range(last - STEPS + 1, last)))
        hits, misses = self._together([last])
        return quantiles_of(self._past.hits + hits), quantiles_of(self._past.misses + misses)

    def _together(self, steps: Iterable[int]) -> tuple[Counter[int], Counter[int]]:
        slots = [slot for step in steps if (slot := self._slot(step)) is not None]
        return (
            TtftHistogram.together(slot.hit_ttft for slot in slots),
            TtftHistogram.together(slot.miss_ttft for slot in slots),
        )

    def _slot(self, step: int) -> _Slot | None:
        slot = self._slots[step % STEPS]
        return slot if slot is not None and slot.step == step else None

    def _point(self, step: int) -> UsagePoint:
        slot = self._slot(step)
        return UsagePoint(step * STEP_S) if slot is None else slot.point()
