"""KV events as values: blocks that a replica stored, removed, or cleared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvproxy.core.replica_choice import ReplicaTier

TIERS: Final[tuple[ReplicaTier, ...]] = ("device", "host", "storage", "unknown")
"""The tiers, nearest first."""

TIER_OF_MEDIUM: Final[dict[str, ReplicaTier]] = {
    "GPU": "device",
    "CPU": "host",
    "CPU_PINNED": "host",
    "CPU_TIER1": "host",
    "CPU_TIER2": "host",
    "STORAGE": "storage",
    "DISK": "storage",
    "EXTERNAL": "storage",
}
"""The media that vLLM and SGLang name. Others are ``unknown``."""


@dataclass(frozen=True, slots=True)
class BlocksStored:
    """Blocks that a replica now holds, in the order of their chain."""

    hashes: tuple[int, ...]
    """64 bits each."""
    tier: ReplicaTier = "device"
    parent: int | None = None
    """The hash of the block before the first; None where that is the first of its chain."""
    token_ids: tuple[int, ...] = ()
    """All tokens of these blocks; empty where the replica did not send them."""
    block_tokens: int = 0
    """Tokens of one block; 0 where the replica did not send them."""
    salt: str | None = None
    """The ``cache_salt`` of the first block; None where there is none, or the blocks stand further behind."""
    plain: bool = True
    """False where more than tokens and a salt goes into the hashes: a LoRA, an image, embeddings."""


@dataclass(frozen=True, slots=True)
class BlocksRemoved:
    """Blocks that a replica holds no more, or no more in that tier."""

    hashes: tuple[int, ...]
    """64 bits each."""
    tier: ReplicaTier = "device"
    """``unknown`` removes from all tiers."""


@dataclass(frozen=True, slots=True)
class AllCleared:
    """A replica's whole cache, emptied."""


KvEvent = BlocksStored | BlocksRemoved | AllCleared


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The events of one scheduler step of a replica, in order."""

    at: float
    """Unix seconds, by the replica's clock."""
    events: tuple[KvEvent, ...]
    rank: int = 0
    """The data-parallel rank that sent it."""
    skipped: int = 0
    """Events that do not count: of an unknown type, or of a kind of attention whose blocks are no prefix."""


@dataclass(frozen=True, slots=True)
class ReplicaChange:
    """News of one replica's blocks, in the form that `ResidencyIndex.take` takes."""

    replica: str
    events: tuple[KvEvent, ...] = ()
    at: float | None = None
    """Unix seconds of the last event, by the replica's clock."""
    live: bool = True
    """False where the events are older ones, replayed."""
    lost: str | None = None
    """The reason that all that was known of the replica is void, before ``events``; None where it is not."""
