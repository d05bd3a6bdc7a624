"""Events merged into runs, so that a table of blocks is changed once for many of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from kvproxy.core.replica_choice import ReplicaTier
from kvproxy.residency.kv_events import AllCleared, BlocksRemoved, BlocksStored, KvEvent


@dataclass(frozen=True, slots=True)
class StoredRun:
    """Blocks that came into one tier, of any chains."""

    hashes: tuple[int, ...]
    firsts: tuple[int, ...]
    """Those that begin a chain."""
    tier: ReplicaTier


def event_runs(events: Iterable[KvEvent]) -> Iterator[StoredRun | BlocksRemoved | AllCleared]:
    """Yield events in order, neighbours of the same kind and tier as one.

    vLLM removes each block with an event of its own.
    """
    for (kind, tier), group in groupby(events, _kind_and_tier):
        if kind is AllCleared:
            yield AllCleared()
            continue
        run = list(group)
        hashes = tuple(block for event in run if not isinstance(event, AllCleared) for block in event.hashes)
        if kind is BlocksRemoved:
            yield BlocksRemoved(hashes, tier)
        else:
            yield StoredRun(hashes, tuple(_firsts(run)), tier)


def _kind_and_tier(event: KvEvent) -> tuple[type[KvEvent], ReplicaTier]:
    return type(event), "unknown" if isinstance(event, AllCleared) else event.tier


def _firsts(run: list[KvEvent]) -> Iterator[int]:
    for event in run:
        if isinstance(event, BlocksStored) and event.parent is None and event.hashes:
            yield event.hashes[0]
