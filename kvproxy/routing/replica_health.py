"""`ReplicaHealth`: the state of one replica, and what each observation makes of it. Times and chance are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HealthState(StrEnum):
    """The states of a replica."""

    UP = "up"
    """It takes requests."""
    SUSPECT = "suspect"
    """One thing failed: it takes none, and is probed at once. Chosen only where nothing is up."""
    DOWN = "down"
    """It failed again, or cannot be reached: it takes none until a probe after its back-off."""
    DRAINING = "draining"
    """It said 503, or the operator said so: it finishes what it has and takes nothing new."""
    PROBING = "probing"
    """A probe is under way."""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """The times of a replica's way back."""

    first_backoff_s: float = 1.0
    """Seconds before the first probe of a replica that is down; each further failure doubles it."""
    most_backoff_s: float = 60.0
    jitter: float = 0.25
    """The share of a back-off that chance adds or takes, so that many proxies do not probe at once."""
    drain_s: float = 5.0
    """Seconds before a replica that said 503 without ``Retry-After`` is probed."""
    most_retry_after_s: float = 600.0
    """The longest ``Retry-After`` that is believed."""


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """A replica's state. Each method returns the state that follows; this one is unchanged.

    ``now`` is in seconds of a clock that never goes back; ``chance`` is uniform in [0, 1).
    """

    state: HealthState = HealthState.UP
    since: float = 0.0
    """When this state began."""
    failures: int = 0
    """Failures in a row."""
    probe_at: float | None = None
    """When the next probe is due; None where none is."""
    held: bool = False
    """Whether the operator drains it: no probe brings it back."""
    last_error: str = ""
    """The failure in a few words, for metrics' labels and listings."""

    @property
    def takes_requests(self) -> bool:
        """Whether the router may choose it."""
        return self.state is HealthState.UP

    @property
    def last_resort(self) -> bool:
        """Whether it may be tried where no replica takes requests."""
        return self.state in (HealthState.UP, HealthState.SUSPECT)

    def probe_due(self, now: float) -> bool:
        """Decide whether to probe now. False while a probe is under way."""
        return self.probe_at is not None and now >= self.probe_at

    def succeeded(self, now: float) -> ReplicaHealth:
        """Return what a whole answer, or a probe that went well, makes of it. One that an operator drains stays so; so
        does one that is down or draining, where an answer that began earlier says nothing."""
        if self.state in (HealthState.UP, HealthState.SUSPECT) and not self.held:
            return ReplicaHealth(HealthState.UP, self.since if self.state is HealthState.UP else now)
        return self

    def failed(self, now: float, policy: HealthPolicy, chance: float, error: str) -> ReplicaHealth:
        """Return what a reset, a 500 or a broken answer makes of it: suspect at first, then down.

        Example: ``health.failed(loop.time(), HealthPolicy(), random.random(), "connection reset")``
        """
        if self.held:
            return self
        if self.state is HealthState.UP:
            return ReplicaHealth(HealthState.SUSPECT, now, 1, now, last_error=error)
        if self.state is HealthState.DOWN:
            return self  # requests that began before it went down: one outage, one back-off
        return self._down(now, policy, chance, error)

    def timed_out(self, now: float, policy: HealthPolicy, chance: float) -> ReplicaHealth:
        """Return what an answer that did not come in time makes of it: as `failed`.

        Example: ``health.timed_out(loop.time(), HealthPolicy(), random.random())``
        """
        return self.failed(now, policy, chance, "timeout")

    def unreachable(self, now: float, policy: HealthPolicy, chance: float, error: str) -> ReplicaHealth:
        """Return what a refused connection makes of it: down at once, nothing listens there.

        Example: ``health.unreachable(loop.time(), HealthPolicy(), random.random(), "connection refused")``
        """
        if self.held or self.state is HealthState.DOWN:
            return self
        return self._down(now, policy, chance, error)

    def refused(self, now: float, policy: HealthPolicy, retry_after: float | None = None) -> ReplicaHealth:
        """Return what a 503 makes of it: draining, and probed after ``retry_after`` seconds.

        Example: ``health.refused(loop.time(), HealthPolicy(), retry_after=2.0)``
        """
        if self.held:
            return self
        wait = (
            policy.drain_s if retry_after is None else min(max(0.0, retry_after), policy.most_retry_after_s)
        )
        return ReplicaHealth(HealthState.DRAINING, now, self.failures, now + wait, last_error="503")

    def probing(self, now: float) -> ReplicaHealth:
        """Return it with a probe under way, which `probed` ends."""
        return ReplicaHealth(HealthState.PROBING, now, self.failures, None, last_error=self.last_error)

    def probed(
        self, now: float, policy: HealthPolicy, chance: float, *, well: bool, error: str = "probe failed"
    ) -> ReplicaHealth:
        """Return what a probe's end makes of it: up, or down for twice the time. A probe of one that was drained
        meanwhile changes nothing.

        Example: ``health.probed(loop.time(), HealthPolicy(), random.random(), well=True)``
        """
        if self.held or self.state is not HealthState.PROBING:
            return self
        return ReplicaHealth(HealthState.UP, now) if well else self._down(now, policy, chance, error)

    def drained(self, now: float) -> ReplicaHealth:
        """Return it as the operator takes it out: nothing new, no probes, until `resumed`."""
        return ReplicaHealth(HealthState.DRAINING, now, self.failures, None, held=True, last_error="drained")

    def resumed(self, now: float) -> ReplicaHealth:
        """Return it as the operator puts it back: probed at once. Does nothing to one that was not drained so."""
        if not self.held:
            return self
        return ReplicaHealth(HealthState.DRAINING, now, self.failures, now, last_error="drained")

    def _down(self, now: float, policy: HealthPolicy, chance: float, error: str) -> ReplicaHealth:
        failures = self.failures + 1
        wait = backoff_s(max(0, failures - 2), policy, chance)
        return ReplicaHealth(HealthState.DOWN, now, failures, now + wait, last_error=error)


def backoff_s(doublings: int, policy: HealthPolicy, chance: float) -> float:
    """Return the seconds before a probe, after a number of doublings; ``chance`` in [0, 1) spreads them.

    Example: ``backoff_s(3, HealthPolicy(), random.random())``
    """
    wait = min(policy.most_backoff_s, policy.first_backoff_s * 2.0 ** min(doublings, 30))
    return wait * (1 + policy.jitter * (2 * chance - 1))
