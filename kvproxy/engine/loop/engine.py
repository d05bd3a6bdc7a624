"""The engine: one thread that owns the model, the pages and every sequence.

Other threads put calls into its inbox; it answers through callbacks that must not block. ``_step`` is the whole loop:
take the inbox, admit, run tiles, hand out tokens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from kvproxy.backends.base import PlacesClaim
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_io import DurablePages, PageIO
from kvproxy.engine.cache.page_writer import PageWriter
from kvproxy.engine.cache.spill_tier import SpillFiles
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.decode.draft_cost import DraftCost
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.admission import Admission, Limits
from kvproxy.engine.loop.fairness.compute_service import ComputeService
from kvproxy.engine.loop.fairness.places import Claim, Places
from kvproxy.engine.loop.fairness.waiting_line import WaitingLine
from kvproxy.engine.loop.inbox import Inbox
from kvproxy.engine.loop.isolation import TileFailed, engine_failure, isolated
from kvproxy.engine.loop.job_intake import JobIntake
from kvproxy.engine.loop.kernel_thread import KernelThread
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.page_growth import PageGrowth
from kvproxy.engine.loop.scheduler import ready
from kvproxy.engine.loop.sequence import ALLOWANCE, Emit, Job, Phase, Sequence
from kvproxy.engine.loop.step import EngineStep
from kvproxy.engine.loop.tile_results import TileResults
from kvproxy.engine.loop.tile_runner import TileRunner
from kvproxy.errors import ShuttingDown
from kvproxy.events import Finished

logger = logging.getLogger(__name__)


class Engine:
    """Runs jobs on one model. Start it with :meth:`start`, end it with :meth:`stop`.

    Public methods may be called from any thread.
    """

    def __init__(
        self,
        model: TileModel,
        cache: KVCache,
        vocabulary: Vocabulary,
        *,
        eos_ids: frozenset[int],
        max_context: int,
        max_running: int,
        max_waiting: int,
        store: DurablePages | None = None,
        thread: KernelThread | None = None,
        speculate: bool = True,
        pace: Pace | None = None,
        spill: SpillFiles | None = None,
        allowance: int = ALLOWANCE,
    ) -> None:
        """Make an engine that :meth:`start` starts.

        ``thread``: the one on which the model was loaded; the engine closes it when it stops. ``speculate``: draft
        tokens where it pays; it changes no answer. ``allowance``: tokens of an answer that get pages before
        it begins.
        """
        self.model, self.cache = model, cache
        self.max_context = max_context
        self._inbox = Inbox()
        limits = Limits(max_context, cache.pool.total, model.vocab_size)
        self._places = Places(max_running + max_waiting)
        self._intake = JobIntake(limits, self._places, vocabulary, eos_ids, allowance)
        self.spill = None if spill is None else cache.spill_into(spill, self._inbox.put)
        self.io = PageIO(store, cache.pool, self._inbox.put, self.spill)
        cache.far = self.io.far
        self._admission = Admission(cache, self.io, self._end)
        self.writer = PageWriter(cache, self.io)
        self._results = TileResults(cache, self.writer, self._end)
        self._running: list[Sequence] = []
        self._service = ComputeService()
        self._line = WaitingLine(
            cache,
            self._admission,
            self._service,
            self._running,
            max_running,
            self._end,
            self._give_way,
        )
        self._growth = PageGrowth(
            cache, self._line.make_room, self._end, self._results.finish, self._give_way
        )
        cost = DraftCost() if speculate else None
        self._tiles = EngineStep(
            TileRunner(model, cache), model.numerics, pace or Pace(), cost, self._service
        )
        self.drafts = self._results.drafts
        self.preemptions = 0
        """Number of times that a sequence gave its place and pages back, to an older one or to another tenant's."""
        self._stopping = False
        self._thread = thread or KernelThread()
        self._ended: Future[None] | None = None

    def start(self) -> None:
        """Run the loop on the engine thread."""
        self._ended = self._thread.submit(self._loop)

    def stop(self) -> None:
        """End every sequence with ShuttingDown, then the thread. Idempotent."""
        self._inbox.put(self._begin_stop)
        if self._ended is not None:
            self._ended.result()
        self._thread.close()
        self.io.close()
        if self.spill is not None:
            self.spill.close()

    @property
    def alive(self) -> bool:
        """Whether the loop runs and takes jobs."""
        return self._ended is not None and not self._ended.done() and not self._stopping

    @property
    def full(self) -> bool:
        """Whether a request of a tenant that has its share would be refused with Overloaded."""
        return self._places.full

    @property
    def places(self) -> int:
        """Sequences that may run or wait at a time."""
        return self._places.total

    @property
    def load(self) -> tuple[int, int]:
        """Number of running requests, and of waiting ones."""
        running = len(self._running)
        return running, max(0, self._intake.count - running)

    def claim(self, tenant: str, count: int, *, again: bool = False) -> Claim:
        """Claim places for the sequences of one request: see :meth:`Places.claim`.

        Example: ``engine.claim("team-a", 4)``
        """
        return self._places.claim(tenant, count, again=again)

    def submit(
        self,
        job: Job,
        emit: Emit,
        on_progress: Callable[[int, int], None] | None = None,
        claim: PlacesClaim | None = None,
    ) -> Sequence:
        """Queue a job. ``emit`` gets Started, TextDelta*, Finished, or one exception, on the engine thread.

        ``on_progress(computed, total)``: called after each tile of the prompt. ``claim``: the places of the request
        that the job is a part of; without one it is a request by itself. Raises ContextTooLong, CannotFit,
        InvalidRequest, Overloaded or ShuttingDown at once. Example: ``engine.submit(job, events.put)``
        """
        self._intake.check(job)
        with self._intake.lock:
            if not self.alive:
                raise ShuttingDown("the engine is stopping; try again in a moment", retry_after_s=5)
            seq = self._intake.enter(job, emit, on_progress, claim)
            # Under the lock: the call must be in the inbox before the thread looks there for the last time.
            self._inbox.put(lambda: self._arrive(seq))
        return seq

    def cancel(self, seq: Sequence) -> None:
        """End a sequence when its client has left: its pages are free at the next step. Nothing more is emitted."""
        seq.cancelled = True
        self._inbox.put(lambda: None)

    def call(self, function: Callable[[], object]) -> Future[object]:
        """Run a function between two steps, on the engine thread. Fails with ShuttingDown when no step follows."""
        with self._intake.lock:
            if self.alive:
                return self._inbox.ask(function)
        refused: Future[object] = Future()
        refused.set_exception(ShuttingDown("the engine is not running"))
        return refused

    def check(self) -> list[str]:
        """Audit pages against their holders and return the faults; [] when sound.

        Engine thread only: use ``call(engine.check)``.
        """
        return self.cache.check(
            [*(s.pages for s in self._running), self._admission.loading, self.writer.pages]
        )

    def _loop(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except Exception:
                logger.exception("the engine's step failed; all its requests end with an error")
                for seq in [*self._running, *self._line.waiting]:
                    self._end(seq, engine_failure())

    def _step(self) -> None:
        self._take_inbox()
        self._drop_cancelled()
        self._line.wake_followers(lambda leader: self._results.register(leader, partial=True))
        self._line.admit()
        for seq in [s for s in self._running if s.phase is Phase.PREFILL and s.computed == s.prefill_end]:
            with isolated(seq, self._end):
                # A prefill-only job that is cached to its end.
                if (finished := self._results.computed(seq)) is not None:
                    self._end(seq, finished)
        turn = ready(self._running, time.perf_counter())
        decoding = self._growth.with_room([s for s in turn if s.phase is Phase.DECODE], self._line.shares)
        prefilling = [s for s in turn if s.phase is Phase.PREFILL]
        following = [s for s in self._running if s.phase is Phase.FOLLOWING]
        served: set[Sequence] = set()
        try:
            for work, scored in self._tiles.take(prefilling, decoding, following, self._inbox.has_calls):
                for seq, last in self._results.hand_out(work, scored):
                    self._end(seq, last)
                served.update(part.sequence for part in work.parts)
        except TileFailed as e:
            logger.exception("a tile failed; %d requests end with an error", len(e.sequences))
            for seq in e.sequences:
                self._end(seq, engine_failure())
        if any(s not in served for s in decoding):
            # Streams that found no row go first next time.
            self._running.sort(key=lambda s: s.phase is Phase.DECODE and s in served)

    def _take_inbox(self) -> None:
        """Run queued calls; wait for one only when there is nothing to compute.

        While a sequence waits for pages, which another thread's ``hold`` may be keeping, it looks again after 20 ms.
        """
        busy = any(
            s.phase in (Phase.PREFILL, Phase.DECODE)
            or (s.phase is Phase.FOLLOWING and self._admission.leader_done(s))
            for s in self._running
        )
        self._inbox.take(wait=not busy, timeout_s=0.02 if self._line.waiting else None)

    def _arrive(self, seq: Sequence) -> None:
        if self._stopping:
            self._end(seq, ShuttingDown("the engine is stopping; try again in a moment", retry_after_s=5))
            return
        self._line.waiting.append(seq)

    def _drop_cancelled(self) -> None:
        for seq in [s for s in (*self._running, *self._line.waiting) if s.cancelled]:
            # The computed KV of a cancelled request is kept for later ones.
            with isolated(seq, lambda seq, _: self._end(seq, None)):
                if seq.phase in (Phase.PREFILL, Phase.DECODE):
                    self._results.register(seq, partial=True)
            self._end(seq, None)

    def _give_way(self, seq: Sequence) -> None:
        """Preempt a sequence: it gives its place and pages back and waits, before all that arrived after it, to be
        computed again."""
        with isolated(seq, self._end):
            self._results.register(seq, partial=True)
        if seq.phase is Phase.ENDED:
            return
        self._tiles.drop(seq)
        self._admission.leave(seq)
        seq.give_way()
        self._running.remove(seq)
        self._line.requeue(seq)
        self.preemptions += 1
        logger.info(
            "%s was preempted after %d tokens of its answer and waits for pages", seq.job.id, seq.generated
        )

    def _end(self, seq: Sequence, last: Finished | BaseException | None) -> None:
        """Give back the sequence's place and pages, then emit its last event (None: none).

        In this order: a client that sees the end may send its next request at once, and must find them free.
        """
        if seq.phase is Phase.ENDED:
            return
        self._admission.leave(seq)
        if seq in self._running:
            self._running.remove(seq)
        if seq in self._line.waiting:
            self._line.waiting.remove(seq)
        self._intake.leave(seq, failed=isinstance(last, BaseException))
        if last is not None:
            try:
                seq.emit(last)
            except Exception:
                logger.exception("%s has ended, and its last event could not be delivered", seq.job.id)

    def _begin_stop(self) -> None:
        for seq in [*self._running, *self._line.waiting]:
            self._end(seq, ShuttingDown("the proxy is shutting down; try again in a moment", retry_after_s=5))
        with self._intake.lock:
            self._stopping = True
