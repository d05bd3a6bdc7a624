"""`FleetFigures`: what a fleet's replicas do now, frozen, for metrics and listings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvproxy.core.replica_choice import ReplicaTier


@dataclass(frozen=True, slots=True)
class ReplicaFigures:
    """One replica at one moment."""

    name: str
    up: bool
    """Whether requests are sent to it."""
    state: str
    """Its health in a word, or the reason that it is not used."""
    running: int = 0
    """Requests that this proxy has there, with a first token."""
    queued_tokens: int = 0
    """Prompt tokens that this proxy sent there and that have no first token yet."""
    prefill_tokens_per_s: float = 0.0
    """Measured by this proxy; 0 before the first request."""
    block_tokens: int = 0
    event_lag_s: float | None = None
    """Seconds from the making of its last event to its arrival here; None without events."""
    version: str = ""
    """The engine's version, as it tells it."""
    fingerprint: str = ""
    """Its ``system_fingerprint``."""
    event_gaps: int = 0
    """Jumps of its events' sequence numbers."""
    resident_tokens: Mapping[ReplicaTier, int] = field(default_factory=dict)
    """Tokens of the blocks that it is known to hold, by tier."""
    answers: int = 0
    """Whole answers to this process, since it knows the replica."""
    hits: int = 0
    """Those of them for which it took tokens from its cache, as it counts."""
    prompt_tokens: int = 0
    """Tokens of their prompts."""
    cached_tokens: int = 0
    """The part of them that it took from its cache."""


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """A fleet at one moment. Counters count from the start of this process."""

    model: str
    replicas: tuple[ReplicaFigures, ...] = ()
    retries: Mapping[str, int] = field(default_factory=dict)
    """Requests that were sent to another replica before their first byte, by what failed: ``down``, ``busy``,
    ``misconfigured``, ``broke-off``."""
    broken_streams: int = 0
    """Answers that ended in the middle."""
    warmed: int = 0
    """Prefixes of documents that were prefilled again after their eviction."""
    warm_queue: int = 0
    """Prefixes that wait for that."""
    blocks: int = 0
    """Different blocks that any replica is known to hold."""
    overruled: int = 0
    """Times that ``cached_tokens`` was less than what residency had promised."""
