"""Long prompts: tiles that rest between two layers, so that nobody waits for a whole one.

A tile of a long prompt is worth its size (its rows share every weight and every page that is read), and takes
many decode steps' time. It is computed a few layers at a time; in between, streams and short prompts have tiles of
their own. Smaller tiles instead were rejected: at a depth of 7,500, eight rows take as long as a decode step, and a
prefill of many such tiles reads all pages for each.

A tile that rests belongs to one sequence, and changes nothing but that sequence's unregistered pages. When the
sequence ends, the tile is dropped, and with it nobody else's work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from kvproxy.engine.forward.invariance import Numerics
from kvproxy.engine.loop.fairness.compute_service import Service
from kvproxy.engine.loop.fairness.tenant_shares import Tenant
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.scheduler import Part, TileWork
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.tile_runner import Scored, TilePieces


@dataclass(slots=True)
class _Resting:
    work: TileWork
    steps: TilePieces
    pieces: int = 0
    seconds: float = 0.0


class Prefill:
    """Engine thread only. ``clock``: seconds, as ``time.perf_counter``."""

    def __init__(
        self,
        pieces: Callable[[TileWork], TilePieces],
        numerics: Numerics,
        pace: Pace,
        service: Service,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pieces, self._numerics, self._pace, self._clock = pieces, numerics, pace, clock
        self._service = service
        self.resting: dict[Sequence, _Resting] = {}
        """Sequences whose tile has begun: their next rows must be in no other."""
        self._oldest_next: set[Tenant] = set()

    def drop(self, sequence: Sequence) -> None:
        """Forget a tile that has begun, if there is one."""
        if tile := self.resting.pop(sequence, None):
            tile.steps.close()

    def advance(
        self,
        prompts: Mapping[Tenant, Seq[Sequence]],
        limit_s: float | None,
        interrupted: Callable[[], bool],
    ) -> tuple[TileWork, list[Scored]] | None:
        """Compute a piece of a tile of one of ``prompts`` (of each tenant, oldest first), and more while there is
        time.

        ``limit_s``: for all of it, where streams wait; one piece is computed in any case. Ends early when
        ``interrupted`` says that there is news. Returns the tile that has ended, if one has, as it was run.
        """
        for ended in [s for s in self.resting if s.phase is not Phase.PREFILL]:
            self.drop(ended)
        if not prompts:
            return None
        self._oldest_next &= prompts.keys()
        tenant = min(prompts, key=self._service.had)
        sequence = self._whose(tenant, prompts[tenant])
        tile = self.resting.get(sequence)
        if tile is None:
            tile = self.resting[sequence] = self._begin(sequence, streams=limit_s is not None)
        began = last = self._clock()
        while True:
            outcome = self._piece(tile)
            now = self._clock()
            tile.pieces += 1
            tile.seconds += now - last
            self._service.charge([(tenant, 1)], now - last)
            if outcome is not None:
                del self.resting[sequence]
                self._pace.prefilled(tile.work.tile, tile.work.reach, tile.seconds, tile.pieces)
                return tile.work, outcome
            if interrupted() or (limit_s is not None and now + (now - last) - began > limit_s):
                return None
            last = now

    def _piece(self, tile: _Resting) -> list[Scored] | None:
        try:
            next(tile.steps)
        except StopIteration as done:
            outcome: list[Scored] = done.value
            return outcome
        except BaseException:
            # What broke will not go on; the sequences hear of it from the engine.
            del self.resting[tile.work.parts[0].sequence]
            raise
        return None

    def _whose(self, tenant: Tenant, prompts: Seq[Sequence]) -> Sequence:
        """A tenant's oldest and its shortest take turns: none of them starves, and a short prompt takes at most twice
        its time."""
        if tenant in self._oldest_next:
            self._oldest_next.discard(tenant)
            return prompts[0]
        self._oldest_next.add(tenant)
        return min(prompts, key=lambda s: s.prefill_end - s.computed)

    def _begin(self, sequence: Sequence, *, streams: bool) -> _Resting:
        start = sequence.computed
        most = self._pace.rows(self._numerics, start, streams=streams)
        count = min(sequence.prefill_end - start, most)
        work = TileWork(self._numerics.tile_for(count), (Part(sequence, start, count),))
        return _Resting(work, self._pieces(work))
