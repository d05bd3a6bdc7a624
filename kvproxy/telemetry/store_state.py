"""`StoreState`: the tiers that pages lie in, with their sizes and budgets, and the work that waits behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TierName = Literal["memory", "disk", "objects"]


@dataclass(frozen=True, slots=True)
class TierState:
    """One tier at one moment."""

    name: TierName
    pages: int
    size: int | None
    """Bytes; None where nobody counts them: an object store lists names alone."""
    budget: int | None
    """Bytes that it may hold; None: no limit of this proxy's."""


@dataclass(frozen=True, slots=True)
class WriteBehindState:
    """The way from local files to an object store."""

    backlog: int
    """Pages that wait to be written or deleted."""
    written: int
    """Pages written since the start."""
    failures: int
    """Requests to the object store that failed, or were not made while it is left alone."""
    resting: bool
    """True while the object store is left alone after repeated failures."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """The page store of one process at one moment. Counts are since its start."""

    tiers: tuple[TierState, ...]
    evicted: int = 0
    """Pages that made room for others in memory."""
    evictable: int = 0
    """Pages in memory that may make room now."""
    pinned: int = 0
    """Pages in memory that publishers have pinned."""
    spilled: int = 0
    """Evicted pages with a copy on disk that lasts as long as this process."""
    write_failures: int = 0
    """Pages that the disk did not take."""
    refusing: bool = False
    """True while the disk refuses pages of documents."""
    behind: WriteBehindState | None = None
    """None without an object store."""
