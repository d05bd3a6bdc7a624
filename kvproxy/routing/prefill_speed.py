"""`PrefillSpeeds`: each replica's measured speed of prefill, from the time to its first tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class PrefillSample:
    """One request's prefill as the proxy saw it."""

    tokens: int
    """Prompt tokens that the replica computed: the prompt less what it says was cached."""
    first_token_s: float
    """Seconds from sending to the first token."""
    queue_s: float = 0.0
    """Seconds of these that the request is believed to have waited behind others."""


@dataclass(slots=True)
class _Measured:
    tokens: float = 0.0
    seconds: float = 0.0
    samples: int = 0


@dataclass(slots=True)
class PrefillSpeeds:
    """Speeds in tokens a second, by replica: decayed tokens over decayed seconds, so that long prefills count more than
    short ones, whose time is mostly latency.

    A sample counts as at most ``outlier`` times faster or slower than the replica's estimate, so that one stall does
    not move it far, and a changed machine is followed in some ten samples.
    """

    start: float = 1000.0
    """The speed of a replica in a fleet of which nothing is measured."""
    keep: float = 0.9
    """The share of the past that stays with each sample."""
    least_tokens: int = 64
    """The shortest prefill that tells anything."""
    outlier: float = 4.0
    _by_replica: dict[str, _Measured] = field(default_factory=dict)

    def observe(self, replica: str, sample: PrefillSample) -> float:
        """Count one prefill; return the replica's speed now.

        Example: ``speeds.observe("a", PrefillSample(tokens=8000, first_token_s=0.9, queue_s=0.1))``
        """
        if sample.tokens >= self.least_tokens and sample.first_token_s > 0:
            measured = self._by_replica.setdefault(replica, _Measured())
            seconds = self._believed_seconds(measured, sample)
            measured.tokens = measured.tokens * self.keep + sample.tokens
            measured.seconds = measured.seconds * self.keep + seconds
            measured.samples += 1
        return self.speed(replica)

    def speed(self, replica: str) -> float:
        """Return a replica's speed; for one without samples the middle of the others', or ``start``."""
        measured = self._by_replica.get(replica)
        return measured.tokens / measured.seconds if measured else self.fleet_speed()

    def fleet_speed(self) -> float:
        """Return the middle of the measured speeds, or ``start`` where there is none."""
        speeds = [one.tokens / one.seconds for one in self._by_replica.values()]
        return median(speeds) if speeds else self.start

    def forget(self, replica: str) -> None:
        """Drop a replica's samples: it left, or was started again on another machine."""
        self._by_replica.pop(replica, None)

    def samples(self) -> Mapping[str, int]:
        """Return the number of samples by replica."""
        return {name: one.samples for name, one in self._by_replica.items()}

    def _believed_seconds(self, measured: _Measured, sample: PrefillSample) -> float:
        # A queue is a guess. More of it than the whole wait says that the guess was wrong, not that prefill is free.
        seconds = max(sample.first_token_s - sample.queue_s, sample.first_token_s * 0.05, 1e-6)
        if not measured.samples:
            return seconds
        expected = sample.tokens * measured.seconds / measured.tokens
        return min(max(seconds, expected / self.outlier), expected * self.outlier)
