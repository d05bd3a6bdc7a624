"""One step's tiles: those that are run in full, then a slice of somebody's long prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq

from kvproxy.engine.decode.draft_cost import StepCost
from kvproxy.engine.forward.invariance import DECODE_TILE, Numerics
from kvproxy.engine.loop.fairness.compute_service import Service
from kvproxy.engine.loop.fairness.tenant_shares import Tenant, lines
from kvproxy.engine.loop.long_prefill import Outcome, Prefill
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.scheduler import TileWork, choose
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.tile_runner import TileRunner


class EngineStep:
    """Engine thread only. Runs what ``choose`` decides, and tells ``pace``, ``cost`` and ``service`` how long it
    took."""

    def __init__(
        self, runner: TileRunner, numerics: Numerics, pace: Pace, cost: StepCost | None, service: Service
    ) -> None:
        """``cost``: of drafts; None drafts nothing."""
        self._runner, self._numerics, self._pace, self._cost = runner, numerics, pace, cost
        self._service = service
        self._prefill = Prefill(runner, numerics, pace, service)

    def take(
        self,
        prefilling: Seq[Sequence],
        decoding: Seq[Sequence],
        interrupted: Callable[[], bool],
        following: Seq[Sequence] = (),
    ) -> Iterator[tuple[TileWork, Outcome]]:
        """Each tile with what came of it, to be handed out before the next one is run. ``prefilling``: oldest first.
        ``following``: sequences that wait for a prefill among these.

        A newcomer (``interrupted``) waits for the tiles that are run in full and for one piece of a long prompt's.
        """
        began = time.perf_counter()
        free = lines((s for s in prefilling if not self._prefill.has(s)), following)
        streams = lines(decoding)
        for work in choose(
            self._neediest_first(free),
            self._neediest_first(streams),
            self._numerics,
            pace=self._pace,
            cost=self._cost,
        ):
            yield work, self._timed(work)
        rest = lines(
            (s for s in prefilling if s.phase is Phase.PREFILL and s.computed < s.prefill_end), following
        )
        limit_s = self._slice_s(time.perf_counter() - began, rest, streams) if decoding else None
        ended = self._prefill.advance(rest, limit_s, interrupted)
        if ended is not None:
            yield ended

    def drop(self, sequence: Sequence) -> None:
        """Forget what was begun of a sequence whose pages are taken back."""
        self._prefill.drop(sequence)

    def _neediest_first(self, found: dict[Tenant, list[Sequence]]) -> list[list[Sequence]]:
        return [found[tenant] for tenant in sorted(found, key=self._service.had)]

    def _slice_s(self, spent_s: float, prompts: Iterable[Tenant], streams: Iterable[Tenant]) -> float:
        least = min(map(self._service.had, streams))
        return self._pace.slice_s(spent_s, owed=any(self._service.had(t) < least for t in prompts))

    def _timed(self, work: TileWork) -> Outcome:
        began = time.perf_counter()
        outcome = self._runner.run(work)
        seconds = time.perf_counter() - began
        self._service.charge(((p.sequence.tenant, p.count) for p in work.parts), seconds)
        if not work.decodes:
            self._pace.prefilled(work.tile, work.reach, seconds)
            return outcome
        self._pace.decoded(seconds)
        if self._cost is not None and work.tile <= DECODE_TILE:
            self._cost.add(work.reach, seconds)
        return outcome
