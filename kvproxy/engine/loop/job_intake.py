"""`JobIntake`: the way of a job into the engine: its limits, its places, and the count of those that have not ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kvproxy.backends.base import PlacesClaim
from kvproxy.engine.decode.detokenizer import Detokenizer, Vocabulary
from kvproxy.engine.loop.admission import Limits
from kvproxy.engine.loop.fairness.places import Places
from kvproxy.engine.loop.sequence import Emit, Job, Sequence


class JobIntake:
    """Makes sequences of jobs that may wait or run, and counts them until they leave. Any thread.

    ``lock`` orders arrivals and the engine's end: whoever enters under it while the engine is alive is answered.
    """

    def __init__(
        self, limits: Limits, places: Places, vocabulary: Vocabulary, eos_ids: frozenset[int], allowance: int
    ) -> None:
        """Start empty. ``allowance``: tokens of an answer that get pages before it begins.

        Example: ``JobIntake(limits, Places(80), vocabulary, frozenset({2}), allowance=1024)``
        """
        self._limits, self._places = limits, places
        self._vocabulary, self._eos_ids, self._allowance = vocabulary, eos_ids, allowance
        self.lock = threading.Lock()
        self.count = 0
        """Sequences that have entered and have not left."""

    def check(self, job: Job) -> None:
        """Refuse a job that the engine can never serve: see :meth:`Limits.check`. The lock is not needed."""
        self._limits.check(job)

    def enter(
        self,
        job: Job,
        emit: Emit,
        on_progress: Callable[[int, int], None] | None,
        claim: PlacesClaim | None,
    ) -> Sequence:
        """Return the sequence of a job, with a place taken for it. Call it under ``lock``. Raises Overloaded.

        ``claim``: the places of the request that the job is a part of; without one it is a request by itself.

        Example: ``seq = intake.enter(job, events.put, None, None)``
        """
        stop, least = job.sampling.stop, job.sampling.min_tokens
        seq = Sequence(job, emit, Detokenizer(self._vocabulary, stop, min_tokens=least), self._eos_ids)
        seq.on_progress, seq.allowance = on_progress, self._allowance
        with self._places.claim(seq.tenant, 1) as own:
            seq.claim = claim or own
            seq.claim.enter()
        self.count += 1
        return seq

    def leave(self, seq: Sequence, *, failed: bool) -> None:
        """Give back the place of a sequence that has ended. Once for each.

        Example: ``intake.leave(seq, failed=False)``
        """
        with self.lock:
            self.count -= 1
        if seq.claim is not None:
            seq.claim.leave(failed=failed)
