"""Long prefill: computes tiles of long prompts a few layers at a time, so that no other request waits for a whole tile.

A large tile of a long prompt pays (its rows share every weight and every page that is read), and takes the time of many
decode steps. In its pauses between layers, streams and short prompts have tiles of their own. Smaller tiles instead
were rejected: at a depth of 7,500, eight rows take as long as a decode step, and a prefill of many such tiles reads all
pages for each.

A paused tile belongs to one sequence, and changes only that sequence's unregistered pages. When the sequence ends, the
tile is dropped, and no work of another sequence with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from kvproxy.engine.loop.fairness.compute_service import ComputeService
from kvproxy.engine.loop.fairness.tenant_shares import Tenant
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.scheduler import Part, TileWork
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.tile_runner import Scored, TilePieces
from kvproxy.engine.tiling.numerics import Numerics


@dataclass(slots=True)
class _PausedTile:
    work: TileWork
    steps: TilePieces
    pieces: int = 0
    seconds: float = 0.0


class LongPrefill:
    """Paused tiles of long prompts, at most one for each sequence. Engine thread only."""

    def __init__(
        self,
        pieces: Callable[[TileWork], TilePieces],
        numerics: Numerics,
        pace: Pace,
        service: ComputeService,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``pieces`` starts a tile (:meth:`TileRunner.pieces`); ``clock``: seconds, as ``time.perf_counter``."""
        self._pieces, self._numerics, self._pace, self._clock = pieces, numerics, pace, clock
        self._service = service
        self.paused: dict[Sequence, _PausedTile] = {}
        """Paused tiles by sequence; its next rows must be in no other tile."""
        self._oldest_next: set[Tenant] = set()

    def drop(self, sequence: Sequence) -> None:
        """Drop the sequence's paused tile, if it has one."""
        if tile := self.paused.pop(sequence, None):
            tile.steps.close()

    def advance(
        self,
        prompts: Mapping[Tenant, Seq[Sequence]],
        limit_s: float | None,
        interrupted: Callable[[], bool],
    ) -> tuple[TileWork, list[Scored]] | None:
        """Compute a piece of a tile of one of ``prompts`` (by tenant, oldest first), and more while there is time.

        ``limit_s``: seconds for all pieces, when streams wait; one piece is computed in any case. Stops early when
        ``interrupted`` returns True. Returns the tile that was completed, if any, with its scored sequences.
        Example: ``prefill.advance({"team-a": [sequence]}, 0.05, inbox.has_calls)``
        """
        for ended in [s for s in self.paused if s.phase is not Phase.PREFILL]:
            self.drop(ended)
        if not prompts:
            return None
        self._oldest_next &= prompts.keys()
        tenant = min(prompts, key=self._service.used_s)
        sequence = self._next_prompt(tenant, prompts[tenant])
        tile = self.paused.get(sequence)
        if tile is None:
            tile = self.paused[sequence] = self._begin(sequence, streams=limit_s is not None)
        began = last = self._clock()
        while True:
            outcome = self._piece(tile)
            now = self._clock()
            tile.pieces += 1
            tile.seconds += now - last
            self._service.charge([(tenant, 1)], now - last)
            if outcome is not None:
                del self.paused[sequence]
                self._pace.prefilled(tile.work.tile, tile.work.reach, tile.seconds, tile.pieces)
                return tile.work, outcome
            if interrupted() or (limit_s is not None and now + (now - last) - began > limit_s):
                return None
            last = now

    def _piece(self, tile: _PausedTile) -> list[Scored] | None:
        try:
            next(tile.steps)
        except StopIteration as done:
            outcome: list[Scored] = done.value
            return outcome
        except BaseException:
            # A tile that failed cannot be continued; the engine ends its sequences.
            del self.paused[tile.work.parts[0].sequence]
            raise
        return None

    def _next_prompt(self, tenant: Tenant, prompts: Seq[Sequence]) -> Sequence:
        """Return a tenant's oldest and its shortest prompt in turn: none starves, and a short one takes at most twice
        its time."""
        if tenant in self._oldest_next:
            self._oldest_next.discard(tenant)
            return prompts[0]
        self._oldest_next.add(tenant)
        return min(prompts, key=lambda s: s.prefill_end - s.computed)

    def _begin(self, sequence: Sequence, *, streams: bool) -> _PausedTile:
        start = sequence.computed
        most = self._pace.rows(self._numerics, start, streams=streams)
        count = min(sequence.prefill_end - start, most)
        work = TileWork(self._numerics.tile_for(count), (Part(sequence, start, count),))
        return _PausedTile(work, self._pieces(work))
