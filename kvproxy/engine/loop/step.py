"""One engine step's tiles: one that is run in full, then a slice of a long prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq

from kvproxy.engine.decode.draft_cost import DraftCost
from kvproxy.engine.loop.fairness.compute_service import ComputeService
from kvproxy.engine.loop.fairness.tenant_shares import Tenant
from kvproxy.engine.loop.long_prefill import LongPrefill
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.scheduler import DRAFT_ROWS, TileWork, by_tenant, plan_tile
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.tile_runner import Scored, TileRunner
from kvproxy.engine.tiling.numerics import Numerics


class EngineStep:
    """Runs the tile that ``plan_tile`` decides and a slice of a long prompt.

    Records their durations in ``pace``, ``cost`` and ``service``.

    Engine thread only.
    """

    def __init__(
        self,
        runner: TileRunner,
        numerics: Numerics,
        pace: Pace,
        cost: DraftCost | None,
        service: ComputeService,
    ) -> None:
        """``cost``: that of drafted rows; None drafts nothing."""
        self._runner, self._numerics, self._pace, self._cost = runner, numerics, pace, cost
        self._service = service
        self._prefill = LongPrefill(runner.pieces, numerics, pace, service)

    def take(
        self,
        prefilling: Seq[Sequence],
        decoding: Seq[Sequence],
        following: Seq[Sequence],
        interrupted: Callable[[], bool],
    ) -> Iterator[tuple[TileWork, list[Scored]]]:
        """Yield each tile with its scored sequences; the caller hands them out before the next tile is run.

        ``prefilling``: oldest first. ``following``: sequences that wait for a prefill among these. ``interrupted``
        returns whether a call waits for the engine thread: it waits for the tile that is run in full and for one piece
        of a long prompt's. Example: ``step.take(prompts, streams, [], inbox.has_calls)``
        """
        began = time.perf_counter()
        whole = by_tenant((s for s in prefilling if s not in self._prefill.paused), following)
        streams = by_tenant(decoding)
        work = plan_tile(
            self._neediest_first(whole),
            self._neediest_first(streams),
            self._numerics,
            pace=self._pace,
            cost=self._cost,
        )
        if work is not None:
            tile_began = time.perf_counter()
            scored = self._runner.run(work)
            self._learn(work, time.perf_counter() - tile_began)
            yield work, scored
        rest = [s for s in prefilling if s.phase is Phase.PREFILL and s.computed < s.prefill_end]
        if not rest and not self._prefill.paused:
            return
        prompts = by_tenant(rest, following)
        limit_s = self._slice_s(time.perf_counter() - began, prompts, streams) if decoding else None
        ended = self._prefill.advance(prompts, limit_s, interrupted)
        if ended is not None:
            yield ended

    def drop(self, sequence: Sequence) -> None:
        """Drop the tile under way of a sequence before its pages are taken back."""
        self._prefill.drop(sequence)

    def _neediest_first(self, groups: dict[Tenant, list[Sequence]]) -> list[list[Sequence]]:
        if len(groups) < 2:
            return list(groups.values())
        return [groups[tenant] for tenant in sorted(groups, key=self._service.used_s)]

    def _slice_s(self, spent_s: float, prompts: Iterable[Tenant], streams: Iterable[Tenant]) -> float:
        least = min(map(self._service.used_s, streams))
        return self._pace.slice_s(spent_s, owed=any(self._service.used_s(t) < least for t in prompts))

    def _learn(self, work: TileWork, seconds: float) -> None:
        """Charge a tile's time to its tenants, and add it to the measured costs."""
        self._service.charge([(p.sequence.tenant, p.count) for p in work.parts], seconds)
        if not work.decodes:
            self._pace.prefilled(work.tile, work.reach, seconds)
            return
        self._pace.decoded(seconds)
        if self._cost is not None and sum(p.count for p in work.parts) <= DRAFT_ROWS:
            self._cost.add(work.reach, seconds)
