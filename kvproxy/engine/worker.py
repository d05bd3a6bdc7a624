"""The engine: one thread that owns the model, the pages and every sequence.

Other threads talk to it by putting calls into its inbox; it answers through callbacks that must not block.
``_step`` is the whole loop: take the inbox, admit, run a tile, hand out tokens.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from math import inf

from kvproxy.core import MissReason
from kvproxy.engine.admission import Admission
from kvproxy.engine.cache import KVCache
from kvproxy.engine.delivery import advance, begin, finish
from kvproxy.engine.detokenize import Detokenizer, Vocabulary
from kvproxy.engine.draft import DraftCounts
from kvproxy.engine.growth import Growth
from kvproxy.engine.inbox import Inbox
from kvproxy.engine.index import Node
from kvproxy.engine.keeper import Keeper
from kvproxy.engine.limits import Limits
from kvproxy.engine.model import TileModel
from kvproxy.engine.pace import Pace
from kvproxy.engine.page_io import PageIO, Store
from kvproxy.engine.registrar import register
from kvproxy.engine.runner import Scored, TileRunner
from kvproxy.engine.scheduler import whose_turn
from kvproxy.engine.sequence import ALLOWANCE, Emit, Job, Phase, Sequence
from kvproxy.engine.spill import SpillFiles
from kvproxy.engine.step_cost import StepCost
from kvproxy.engine.thread import KernelThread
from kvproxy.engine.turns import Turns
from kvproxy.errors import HitLost, KVProxyError, Overloaded, ShuttingDown, Unavailable
from kvproxy.events import Finished, FinishReason

logger = logging.getLogger(__name__)


class Engine:
    """Start with :meth:`start`, end with :meth:`stop`. Public methods may be called from any thread."""

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
        store: Store | None = None,
        thread: KernelThread | None = None,
        speculate: bool = True,
        pace: Pace | None = None,
        spill: SpillFiles | None = None,
        allowance: int = ALLOWANCE,
    ) -> None:
        """``thread``: the one on which the model was loaded; the engine closes it when it stops. ``speculate``: draft
        tokens where it pays; it changes no answer. ``allowance``: tokens of an answer whose pages are promised before
        it begins."""
        self.model, self.cache = model, cache
        self.max_context = max_context
        self._limits = Limits(max_context, cache.pool.total, model.vocab_size)
        self._vocabulary, self._eos_ids = vocabulary, eos_ids
        self._max_running, self._max_waiting = max_running, max_waiting
        self._allowance = allowance
        self._inbox = Inbox()
        self.spill = None if spill is None else cache.spill_into(spill, self._inbox.put)
        self.io = PageIO(store, self._inbox.put, self.spill, cache.pool.shape.bytes)
        self._admission = Admission(cache, self.io, self._end)
        self._growth = Growth(cache, self._make_room, self._end, self._finish, self._give_way)
        self._keeper = Keeper(cache, self.io)
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._count = 0
        self._count_lock = threading.Lock()
        cost = StepCost() if speculate else None
        self._turns = Turns(TileRunner(model, cache), model.numerics, pace or Pace(), cost)
        self.drafts = DraftCounts()
        self.preemptions = 0
        """The number of times that an answer gave its pages back to an older one."""
        self._stopping = False
        self._thread = thread or KernelThread()
        self._ended: Future[None] | None = None

    def start(self) -> None:
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
        return self._ended is not None and not self._ended.done() and not self._stopping

    @property
    def full(self) -> bool:
        """Whether a request that came now would be refused with Overloaded."""
        return self._count >= self._max_running + self._max_waiting

    @property
    def load(self) -> tuple[int, int]:
        """Requests that run, and that wait."""
        running, count = len(self._running), self._count
        return running, max(0, count - running)

    def submit(self, job: Job, emit: Emit, on_progress: Callable[[int, int], None] | None = None) -> Sequence:
        """Queue a job. ``emit`` gets Started, TextDelta*, Finished, or one exception, on the engine's thread.

        Raises ContextTooLong, CannotFit, InvalidRequest, Overloaded or ShuttingDown at once.
        """
        self._limits.check(job)
        with self._count_lock:
            if not self.alive:
                raise ShuttingDown("the engine is stopping; try again in a moment", retry_after_s=5)
            if self.full:
                raise Overloaded(
                    f"{self._count} requests are running or waiting; try again shortly", retry_after_s=2
                )
            self._count += 1
            stop, least = job.sampling.stop, job.sampling.min_tokens
            seq = Sequence(job, emit, Detokenizer(self._vocabulary, stop, min_tokens=least), self._eos_ids)
            seq.on_progress, seq.allowance = on_progress, self._allowance
            # Under the lock, so that it is in the inbox before the thread takes its last look there.
            self._inbox.put(lambda: self._arrive(seq))
        return seq

    def cancel(self, seq: Sequence) -> None:
        """The reader has left: rows and pages are free at the next step. Nothing more is emitted."""
        seq.cancelled = True
        self._inbox.put(lambda: None)

    def call(self, function: Callable[[], object]) -> Future[object]:
        """Run a function between two steps, on the engine's thread. Fails with ShuttingDown when no step
        follows."""
        with self._count_lock:
            if self.alive:
                return self._inbox.ask(function)
        refused: Future[object] = Future()
        refused.set_exception(ShuttingDown("the engine is not running"))
        return refused

    def check(self) -> list[str]:
        """Audit pages against their holders; [] when sound. Engine thread only: use
        ``call(engine.check)``."""
        return self.cache.check([s.pages for s in self._running])

    def _loop(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except Exception:
                logger.exception("the engine's step failed; its sequences end with an error")
                for seq in [*self._running, *self._waiting]:
                    self._end(seq, KVProxyError("the engine failed on this request; its log has the cause"))

    def _step(self) -> None:
        self._take_inbox()
        self._drop_cancelled()
        self._wake_followers()
        self._admit()
        for seq in [s for s in self._running if s.phase is Phase.PREFILL and s.computed == s.prefill_end]:
            self._computed(seq)  # A prefill-only job that was cached to its last token, or an answer that resumes.
        turn = whose_turn(self._running, time.perf_counter())
        prefilling = [s for s in turn if s.phase is Phase.PREFILL]
        decoding = self._growth.with_room([s for s in turn if s.phase is Phase.DECODE], self._running)
        served: set[Sequence] = set()
        for work, scored in self._turns.take(prefilling, decoding, lambda: self._inbox.waiting):
            for part in work.parts:
                self._computed(part.sequence)
                served.add(part.sequence)
            for rows in scored:
                self._deliver(rows)
        if any(s not in served for s in decoding):
            # Streams that found no row go first next time.
            self._running.sort(key=lambda s: s.phase is Phase.DECODE and s in served)

    def _take_inbox(self) -> None:
        """Wait for a call only when there is nothing to compute; look again soon while somebody waits for
        pages, which another thread's ``hold`` may be keeping."""
        busy = any(
            s.phase in (Phase.PREFILL, Phase.DECODE)
            or (s.phase is Phase.FOLLOWING and self._admission.leader_done(s))
            for s in self._running
        )
        self._inbox.take(wait=not busy, timeout_s=0.02 if self._waiting else None)

    def _arrive(self, seq: Sequence) -> None:
        if self._stopping:
            self._end(seq, ShuttingDown("the engine is stopping; try again in a moment", retry_after_s=5))
            return
        self._waiting.append(seq)

    def _drop_cancelled(self) -> None:
        for seq in [s for s in (*self._running, *self._waiting) if s.cancelled]:
            # What a reader who left had computed is kept for the next one.
            if seq.phase in (Phase.PREFILL, Phase.DECODE):
                register(self.cache, seq, unified=self.model.numerics.unified, partial=True)
            self._end(seq, None)

    def _wake_followers(self) -> None:
        for seq in [s for s in self._running if s.phase is Phase.FOLLOWING]:
            if self._admission.leader_done(seq):
                leader = seq.following
                if leader is not None and leader.phase is Phase.PREFILL:
                    register(self.cache, leader, unified=self.model.numerics.unified, partial=True)
                seq.following, seq.collapsed, seq.phase = None, True, Phase.WAITING
                self._running.remove(seq)
                self._waiting.insert(0, seq)

    def _admit(self) -> None:
        at = 0
        while at < len(self._waiting):
            seq = self._waiting[at]
            if len(self._running) >= self._max_running and not self._make_room(seq):
                break
            try:
                admitted = self._admission.try_admit(seq, self._running)
            except KVProxyError as e:
                self._end(seq, e)
                continue
            if admitted:
                self._waiting.pop(at)
                self._running.append(seq)
            elif self._make_room(seq):
                continue
            elif self._running and seq.job.patience_s == 0:
                return
            else:
                at += 1  # Nobody runs who could give pages back; one behind it may hold what it lacks.
        if self._waiting and not self._running:
            self._give_up_a_hit()

    def _make_room(self, seq: Sequence) -> bool:
        """End the newest of those that run for nobody, where ``seq`` waits for its place or its pages."""
        if seq.job.patience_s == inf:
            return False
        idlers = [s for s in self._running if s.job.patience_s == inf]
        if idlers:
            self._end(idlers[-1], Overloaded("it gave way to a request", retry_after_s=1))
        return bool(idlers)

    def _give_way(self, seq: Sequence) -> None:
        """An answer gives its pages back and waits, before all that came after it, to be computed again."""
        unified = self.model.numerics.unified
        register(self.cache, seq, unified=unified, partial=True)
        self._admission.leave(seq)
        seq.give_way(unified=unified)
        self._running.remove(seq)
        before = sum(1 for s in self._waiting if s.arrived_at < seq.arrived_at)
        self._waiting.insert(before, seq)
        self.preemptions += 1
        logger.info("%s waits for pages behind %d tokens of its answer", seq.job.id, seq.generated)

    def _give_up_a_hit(self) -> None:
        """Waiting hits have their pages held by whoever asked, and all pages may be held like that, so that nobody
        gets the one that is needed. The newest hit is told that it is lost; as a miss it holds nothing."""
        for seq in reversed(self._waiting):
            if seq.required:
                self._end(
                    seq, HitLost("its pages are needed to serve anybody at all", MissReason.NOT_RESIDENT)
                )
                return

    def _computed(self, seq: Sequence) -> None:
        """A tile added KV to this sequence."""
        seq.served_at = time.perf_counter()
        if seq.job.inspect is not None and seq.phase is Phase.PREFILL:
            seq.job.inspect(seq)
        ended_prompt = seq.computed >= seq.prefill_end and seq.phase is Phase.PREFILL
        last = register(self.cache, seq, unified=self.model.numerics.unified, partial=ended_prompt)
        if seq.on_progress is not None and seq.phase is Phase.PREFILL:
            seq.on_progress(seq.computed, seq.prompt_tokens)
        if not ended_prompt:
            return
        seq.prefill_s = time.perf_counter() - seq.admitted_at - seq.load_s
        self.cache.costs.computed(seq.cached, seq.prefill_end, seq.prefill_s)
        if seq.resumed:
            seq.phase = Phase.DECODE
            return
        if seq.job.persist:
            self._persist(seq, last)
        elif seq.job.max_tokens == 0:
            begin(seq)
            self._finish(seq, "length")
        elif seq.job.shared_scope is not None:
            self._keeper.restore([n for n in seq.chain if n.scope == seq.job.shared_scope])

    def _persist(self, seq: Sequence, last: Node | None) -> None:
        seq.phase = Phase.PERSISTING
        nodes = (*seq.chain, *([last] if last is not None else []))

        def done(error: Exception | None) -> None:
            if seq.phase is Phase.ENDED:
                return
            if error is not None:
                self._end(seq, error)
                return
            seq.kept = nodes
            begin(seq)
            self._finish(seq, "length")

        if sum(len(n.token_ids) for n in nodes) < seq.prompt_tokens:
            done(Unavailable("the document was deleted while it was being published; publish it again"))
        else:
            self._keeper.save(nodes, done, seq.job.owner)

    def _deliver(self, scored: Scored) -> None:
        seq, before = scored.sequence, scored.sequence.generated
        result = advance(scored)
        self.drafts.steps += 1
        self.drafts.tokens += seq.generated - before
        self.drafts.drafted += result.drafted
        self.drafts.accepted += result.accepted
        if isinstance(result.end, KVProxyError):
            self._end(seq, result.end)
        elif result.end is not None:
            self._finish(seq, result.end)

    def _finish(self, seq: Sequence, reason: FinishReason) -> None:
        last = finish(seq, reason)
        # The last token was never computed, so it is no part of what is kept.
        register(self.cache, seq, unified=self.model.numerics.unified, partial=True)
        self._end(seq, last)

    def _end(self, seq: Sequence, last: Finished | BaseException | None) -> None:
        """Give back all that the sequence holds, then emit its last event: whoever hears that a request has
        ended may send the next one at once, and must find its place and its pages free."""
        if seq.phase is Phase.ENDED:
            return
        self._admission.leave(seq)
        if seq in self._running:
            self._running.remove(seq)
        if seq in self._waiting:
            self._waiting.remove(seq)
        with self._count_lock:
            self._count -= 1
        if last is not None:
            seq.emit(last)

    def _begin_stop(self) -> None:
        for seq in [*self._running, *self._waiting]:
            self._end(seq, ShuttingDown("the proxy is shutting down; try again in a moment", retry_after_s=5))
        with self._count_lock:
            self._stopping = True
