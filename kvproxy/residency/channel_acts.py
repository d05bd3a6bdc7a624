"""The acts of an event channel as values, with its policy and its counts."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.residency.kv_events import EventBatch


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """Times and bounds of a channel. Seconds."""

    replay_s: float = 5.0
    """The longest wait for the next message of a replay."""
    probe_s: float = 5.0
    """Quiet time after which the last payload is asked for again: it shows that the replica is still the same."""
    silent_s: float = 20.0
    """Quiet time of a replica that used to answer, after which its blocks are unknown."""
    most_held: int = 10_000
    """Payloads that wait for a replay's end; further ones are dropped, and asked for afterwards."""
    most_held_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Applied:
    """A batch that is due."""

    batch: EventBatch
    live: bool
    """False where it was replayed: its time says nothing of the delay."""


@dataclass(frozen=True, slots=True)
class Lost:
    """All blocks of the replica have become unknown."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReplayAsked:
    """A replay to be asked for."""

    start: int
    fresh: bool
    """True where the socket of the last one has to be replaced, since its answers may come still."""


ChannelAct = Applied | Lost | ReplayAsked
