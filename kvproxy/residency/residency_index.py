"""`ResidencyIndex`: which replicas hold how much of a prompt, by its blocks' hashes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kvproxy.core.replica_choice import ReplicaResidency, ReplicaTier
from kvproxy.residency.block_table import BlockTable
from kvproxy.residency.event_runs import StoredRun, event_runs
from kvproxy.residency.eviction_memory import EvictionMemory, WatchedBlocks
from kvproxy.residency.holder_sets import TIER_BITS, HolderSets, seat_bits, seats_of
from kvproxy.residency.kv_events import TIERS, BlocksRemoved, KvEvent, ReplicaChange
from kvproxy.residency.replica_seats import ReplicaSeats, SeatedReplica
from kvproxy.residency.table_sweep import TableSweep

_UNKNOWN = TIERS.index("unknown")
_ALL_TIERS = tuple(range(len(TIERS)))
_NOBODY: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class IndexSize:
    """The contents of a residency index, and the memory that they take."""

    blocks: int
    """Different blocks that some replica holds."""
    holder_sets: int
    """Different sets of replicas that hold a block."""
    table_bytes: int
    refused: int
    """Blocks that were not taken in because the index was full."""


class ResidencyIndex:
    """The blocks of all replicas of one fleet, for the question which of them hold how many leading blocks of a chain.

    For the event loop alone: nothing waits in it, no call is long (a change takes the time of its own blocks and a
    fixed piece of housekeeping, a clear takes none), and it has no lock, so other threads hand their events over.
    What it says is a belief: an engine may have given a block up since, and `forget` and `confirm` correct it by what
    the engine then counts. A table of 12 bytes a place says for each block which *set* of replicas holds it.
    """

    def __init__(self, most_blocks: int = 32_000_000, most_since: int = 1 << 16) -> None:
        """``most_blocks``: different blocks; beyond them only watched ones are taken in, up to twice as many.
        ``most_since``: chains of each replica whose time of coming is kept."""
        self._table = BlockTable()
        self._sets = HolderSets()
        self._seats = ReplicaSeats(self._sets)
        self._sweep = TableSweep(self._table, self._sets, self._seats)
        self._watched = WatchedBlocks()
        self._evictions = EvictionMemory()
        self._most_blocks = most_blocks
        self._most_since = most_since
        self._refused = 0

    def watch(self, hashes: Iterable[int]) -> None:
        """Remember when replicas give these blocks up, a known document's, and keep room for them."""
        self._watched.watch(hashes)

    def apply(self, replica: str, events: Iterable[KvEvent], at: float | None = None) -> None:
        """Take in events of one replica, in order. ``at``: Unix seconds of the events, None for now.

        Example: ``apply("10.0.0.7:8000", batch.events, batch.at)``
        """
        when = time.time() if at is None else at
        for run in event_runs(events):
            if isinstance(run, StoredRun):
                self._store(replica, run, when)
            elif isinstance(run, BlocksRemoved):
                self._remove(replica, run, when)
            else:
                self.clear(replica, when)
        self._sweep.step()

    def take(self, change: ReplicaChange) -> None:
        """Take in what an event feed tells."""
        if change.lost is not None:
            self.clear(change.replica)
        self.apply(change.replica, change.events, change.at)

    def clear(self, replica: str, at: float | None = None) -> None:
        """Forget all that a replica held. Takes no time: see `ReplicaSeats`."""
        if (known := self._seats.find(replica)) is not None:
            self._seats.reseat(known)
            known.cleared_at = time.time() if at is None else at
            self._sweep.step()

    def drop(self, replica: str) -> None:
        """Forget a replica that has left the fleet."""
        self._seats.remove(replica)
        self._sweep.step()

    def confirm(self, replica: str, hashes: Sequence[int], at: float | None = None) -> None:
        """Take in that a replica holds these leading blocks of a chain, as ``cached_tokens`` told. Their tier is
        unknown where no event named it.

        Example: ``confirm("10.0.0.7:8000", hashes[: cached_tokens // block_tokens])``
        """
        seated = self._seats.seated(replica)
        mine, bit = seat_bits(seated.seat, _ALL_TIERS), seat_bits(seated.seat, (_UNKNOWN,))
        sets = self._sets
        self._table.change(
            self._fitting(hashes),
            lambda number: number if sets.mask(number) & mine else sets.added(number, bit),
        )
        self._note_since(seated, hashes[:1], time.time() if at is None else at)

    def forget(self, replica: str, hashes: Sequence[int]) -> None:
        """Take in that a replica holds none of these blocks, as ``cached_tokens`` told, whatever its events said."""
        if (known := self._seats.find(replica)) is not None:
            mine = seat_bits(known.seat, _ALL_TIERS)
            self._table.change(hashes, lambda number: self._sets.without(number, mine))
            for block in hashes:
                known.since.pop(block, None)

    def longest(self, hashes: Sequence[int]) -> Mapping[str, int]:
        """Return, for each replica that holds the first of ``hashes``, how many it holds without a gap.

        Example: ``longest(chain)`` gives ``{"10.0.0.7:8000": 56, "10.0.0.8:8000": 12}``.
        """
        if not hashes or not (alive := self._sets.seats(self._table.get_one(hashes[0]))):
            return _NOBODY
        found: dict[str, int] = {}
        for begin, number in self._table.runs(hashes):
            kept = alive & self._sets.seats(number)
            if kept != alive:
                found |= dict.fromkeys(self._seats.names(alive & ~kept), begin)
                alive = kept
            if not alive:
                return found
        return found | dict.fromkeys(self._seats.names(alive), len(hashes))

    def residencies(self, hashes: Sequence[int], block_tokens: int) -> tuple[ReplicaResidency, ...]:
        """Return what each replica holds of a chain, the most first; ``block_tokens``: tokens of one block.

        Example: ``residencies(chain, 16)``
        """
        held = sorted(self.longest(hashes).items(), key=lambda item: (-item[1], item[0]))
        return tuple(
            ReplicaResidency(
                name,
                blocks * block_tokens,
                self.tier(name, hashes[:blocks]),
                self.held_since(name, hashes[0]),
            )
            for name, blocks in held
        )

    def tier(self, replica: str, hashes: Sequence[int]) -> ReplicaTier:
        """Return the farthest of the nearest tiers of these blocks: where a replica has all of them at hand."""
        if (known := self._seats.find(replica)) is None:
            return "unknown"
        worst = 0
        for _, number in self._table.runs(hashes):
            bits = self._sets.mask(number) & seat_bits(known.seat, _ALL_TIERS)
            nearest = (bits & -bits).bit_length() - 1 if bits else _UNKNOWN
            worst = max(worst, nearest % len(TIERS))
        return TIERS[worst]

    def held_since(self, replica: str, hash: int) -> float | None:
        """Return since when a replica holds a chain, by its first block: Unix seconds, None where that is unknown."""
        known = self._seats.find(replica)
        return None if known is None else known.since.get(hash)

    def evicted_at(self, replica: str, hash: int) -> float | None:
        """Return when a replica gave a watched block up, Unix seconds.

        None where it holds the block, never held it, or has given up too many others since.
        """
        known = self._seats.find(replica)
        if known is None or self._holds(known, hash):
            return None
        return self._evictions.last(known.number, hash)

    def cleared_at(self, replica: str) -> float | None:
        """Return when a replica's whole cache was last cleared or lost from sight, Unix seconds."""
        known = self._seats.find(replica)
        return None if known is None else known.cleared_at

    def held_blocks(self) -> dict[str, dict[ReplicaTier, int]]:
        """Return by replica the number of blocks that it holds, each in its nearest tier. The cost follows from the
        different sets of holders, not from the blocks."""
        found: dict[str, dict[ReplicaTier, int]] = {}
        for number, count in self._table.counts():
            mask = self._sets.mask(number)
            for seat in seats_of(self._sets.seats(number)):
                bits = (mask >> seat * TIER_BITS) & ((1 << TIER_BITS) - 1)
                tier = TIERS[(bits & -bits).bit_length() - 1]
                held = found.setdefault(self._seats.name(seat), {})
                held[tier] = held.get(tier, 0) + count
        return found

    @property
    def size(self) -> IndexSize:
        """The contents and the memory."""
        return IndexSize(len(self._table), len(self._sets), self._table.bytes, self._refused)

    def _store(self, replica: str, run: StoredRun, at: float) -> None:
        seated = self._seats.seated(replica)
        bit = seat_bits(seated.seat, (TIERS.index(run.tier),))
        self._table.change(self._fitting(run.hashes), lambda number: self._sets.added(number, bit))
        self._note_since(seated, run.firsts, at)

    def _remove(self, replica: str, run: BlocksRemoved, at: float) -> None:
        if (known := self._seats.find(replica)) is None:
            return
        tier = TIERS.index(run.tier)
        gone = seat_bits(known.seat, _ALL_TIERS if tier == _UNKNOWN else (tier, _UNKNOWN))
        self._table.change(run.hashes, lambda number: self._sets.without(number, gone))
        lost = [b for b in self._watched.among(run.hashes) if not self._holds(known, b)]
        self._evictions.remember(known.number, lost, at)
        for block in known.since.keys() & run.hashes if known.since else ():
            if not self._holds(known, block):
                del known.since[block]

    def _holds(self, known: SeatedReplica, block: int) -> bool:
        return bool(self._sets.mask(self._table.get_one(block)) & seat_bits(known.seat, _ALL_TIERS))

    def _note_since(self, seated: SeatedReplica, firsts: Sequence[int], at: float) -> None:
        for block in firsts:
            if len(seated.since) < self._most_since:
                seated.since.setdefault(block, at)

    def _fitting(self, hashes: Sequence[int]) -> Sequence[int]:
        """Return the blocks that there is room for: in a full index those that are watched, or known already."""
        if len(self._table) + len(hashes) <= self._most_blocks:
            return hashes
        room = len(self._table) < 2 * self._most_blocks
        watched = set(self._watched.among(hashes)) if room else set()
        fitting = [block for block in hashes if block in watched or self._table.get_one(block)]
        self._refused += len(hashes) - len(fitting)
        return fitting
