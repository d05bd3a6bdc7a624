"""`ReplicaChoice`: the replica of a fleet that one prompt is sent to, with the reason; and what replicas hold of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kvproxy.core.miss_causes import MissCause

ReplicaTier = Literal["device", "host", "storage", "unknown"]
"""The nearest medium that holds all of the prefix: the accelerator's memory, the host's, files or objects; or none that
the replica names."""


@dataclass(frozen=True, slots=True)
class ReplicaResidency:
    """The part of a prefix that one replica holds."""

    replica: str
    """Its name, as the configuration or DNS gives it."""
    tokens: int
    """The longest present beginning, in whole blocks."""
    tier: ReplicaTier = "unknown"
    since: float | None = None
    """Unix seconds since when its first block is there; None where no event told it."""


@dataclass(frozen=True, slots=True)
class ReplicaChoice:
    """A routing decision for one prompt. It belongs to the fleet that made it; others only show it."""

    replica: str
    """The name of the chosen replica; empty where none could be reached."""
    document_key: str
    """The affinity key that the prompt was placed by: a document's, or the caller's own for a prompt without one."""
    expected_tokens: int = 0
    """Positions that the replica is believed to hold. A guess: nothing is billed by it."""
    block_tokens: int = 0
    """Positions of one block of the replica: what is cached is a multiple of it."""
    cause: MissCause | None = None
    """The reason that the chosen replica holds less of the prompt than could be; None where it holds all whole
    blocks."""
    detail: str = ""
    """The cause in a few words for people: ``evicted at 2026-11-30T12:00:04Z``."""
