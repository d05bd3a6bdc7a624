"""The scheduler: plans the rows of the next tile. Pure: takes sequences, returns a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from kvproxy.engine.decode.draft_cost import DraftCost
from kvproxy.engine.decode.speculation import share
from kvproxy.engine.loop.fairness.tenant_shares import Tenant
from kvproxy.engine.loop.pacing import SHORT_ROWS, Pace
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.sequence_drafts import draft_behind
from kvproxy.engine.tiling.numerics import Numerics

T = TypeVar("T")

MIN_PROMPT_ROWS = 16
"""Rows of a tile that short prompts get beside any number of decoding sequences."""
DRAFT_ROWS = 16
"""Drafts fill the rows of a decode tile up to a multiple of this: so many share the reading of a weight before their
products take as long as that."""


@dataclass(frozen=True, slots=True)
class Part:
    """``count`` rows of one sequence, from position ``start``; the last of them may be a draft."""

    sequence: Sequence
    start: int
    count: int
    draft: tuple[int, ...] = ()
    """Token ids drafted behind the last known one: the last rows of ``count``."""


@dataclass(frozen=True, slots=True)
class TileWork:
    """The rows of one tile."""

    tile: int
    """Number of rows; a few may be padding."""
    parts: tuple[Part, ...]

    @property
    def reach(self) -> int:
        """Sum over the rows of the positions before their part: the positions that each attends to."""
        return sum(p.count * p.start for p in self.parts)

    @property
    def decodes(self) -> bool:
        """Whether the tile has decode rows only, and no prompt row."""
        return all(p.start >= p.sequence.prefill_end for p in self.parts)


def ready(running: Seq[Sequence], now: float) -> list[Sequence]:
    """Return the sequences with rows to compute in this step. ``now``: seconds of ``time.perf_counter``.

    A job with patience is left out until its patience has ended, unless no other sequence has rows to compute.
    """
    computing = [s for s in running if s.phase in (Phase.PREFILL, Phase.DECODE)]
    return [s for s in computing if now - s.served_at >= s.job.patience_s] or computing


def plan_tile(
    prefilling: Seq[Seq[Sequence]],
    decoding: Seq[Seq[Sequence]],
    numerics: Numerics,
    *,
    pace: Pace,
    cost: DraftCost | None = None,
) -> TileWork | None:
    """Plan the tile to run in full before a slice of a long prompt: a row of each stream, and short prompts.

    So a hit never waits for another request's cold prefill; long prompts are left to ``LongPrefill``. ``prefilling``
    and ``decoding`` are grouped by tenant, the first tenant at the front; when there are too few rows, tenants take
    turns. Beside streams, prompts get as many rows as ``pace`` allows. ``cost``: that of drafted rows; None drafts
    nothing. Returns None when there is nothing to run.

    Example: ``plan_tile([[prompt]], [[stream, stream2]], numerics, pace=pace)``
    """
    most = numerics.largest
    streams = list(islice(by_turns(decoding), most - MIN_PROMPT_ROWS if prefilling else most))
    riders = _decode_parts(streams, cost)
    taken = sum(p.count for p in riders)
    if decoding:
        most = min(most, max(SHORT_ROWS, taken + MIN_PROMPT_ROWS))
    parts = riders + _prompt_parts(prefilling, most - taken, pace if decoding else None)
    return TileWork(numerics.tile_for(sum(p.count for p in parts)), parts) if parts else None


def by_tenant(
    sequences: Iterable[Sequence], followers: Iterable[Sequence] = ()
) -> dict[Tenant, list[Sequence]]:
    """Group ``sequences`` by tenant, in order.

    A prefill that ``followers`` of other tenants wait for is listed under their tenants as well: it is computed in
    their turn when its own tenant has to wait.
    """
    found: dict[Tenant, list[Sequence]] = {}
    backers: dict[Sequence, list[Tenant]] = {}
    for f in followers:
        if f.following is not None:
            backers.setdefault(f.following, []).append(f.tenant)
    for seq in sequences:
        for tenant in dict.fromkeys((seq.tenant, *backers.get(seq, ()))):
            found.setdefault(tenant, []).append(seq)
    return found


def by_turns(groups: Iterable[Seq[T]]) -> Iterator[T]:
    """Yield the first item of each group, then the second of each, and so on."""
    left = [iter(group) for group in groups]
    while left:
        still = []
        for group in left:
            for item in group:
                yield item
                still.append(group)
                break
        left = still


def _decode_parts(decoding: Seq[Sequence], cost: DraftCost | None) -> tuple[Part, ...]:
    """Give each stream a row, and drafts the rows that are left of a multiple of DRAFT_ROWS."""
    free = -len(decoding) % DRAFT_ROWS
    if cost is None or not free:
        return tuple(Part(s, s.computed, 1) for s in decoding)
    reach, streams = sum(s.computed for s in decoding), len(decoding)
    drafts = [draft_behind(s, free, row_cost=cost.row(s.computed, reach), streams=streams) for s in decoding]
    given = share([len(d) for d in drafts], free)
    return tuple(
        Part(s, s.computed, 1 + rows, draft[:rows])
        for s, draft, rows in zip(decoding, drafts, given, strict=True)
    )


def _prompt_parts(prefilling: Seq[Seq[Sequence]], rows: int, pace: Pace | None) -> tuple[Part, ...]:
    """Take the whole rest of short prompts, each tenant's shortest first; of equal ones, the oldest."""
    parts: dict[Sequence, Part] = {}
    full: set[int] = set()
    """Tenants with a next prompt that was too long; the prompts behind it are longer."""
    taken = reach = 0
    turns = by_turns([[(n, s) for s in sorted(group, key=_remaining)] for n, group in enumerate(prefilling)])
    for tenant, sequence in turns:
        if tenant in full or sequence in parts:
            continue
        count = _remaining(sequence)
        rows_then, reach_then = taken + count, reach + count * sequence.computed
        if count > SHORT_ROWS or rows_then > rows or (pace and not pace.may_ride(rows_then, reach_then)):
            full.add(tenant)
            continue
        taken, reach = rows_then, reach_then
        parts[sequence] = Part(sequence, sequence.computed, count)
    return tuple(parts.values())


def _remaining(sequence: Sequence) -> int:
    return sequence.prefill_end - sequence.computed
