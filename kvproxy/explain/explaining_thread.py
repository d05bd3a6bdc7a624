"""`ExplainingThread`: runs a `MissExplainer` beside the requests, on one thread with a bounded queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from kvproxy.core import Miss, MissCause
from kvproxy.explain.miss_explainer import DIRECT, AskedPrompt, MissExplainer
from kvproxy.telemetry.request_timer import Timings

logger = logging.getLogger(__name__)

MOST_WAITING = 64
"""Comparisons and records that may wait; under a flood of misses further ones are left out."""
WAIT_S = 0.0005
"""Seconds that a first token may wait for the cause, where the miss was quicker than the comparison."""


class ExplainingThread:
    """The thread, and the explainers that run on it, one for each model. Event loop only; use it in a ``with``."""

    def __init__(self, explainer: MissExplainer, others: Mapping[str, MissExplainer] | None = None) -> None:
        """``explainer``: of all models that ``others`` does not name. Models differ in their tokens, and so in what is
        kept of their requests."""
        self.explainer = explainer
        self._others = dict(others or {})
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread after the work at hand, which needs nothing that is closed; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def begin(self, asked: AskedPrompt) -> asyncio.Future[MissCause | None] | None:
        """Begin to look for the cause of a miss; None where too much waits.

        Example: ``looking = thread.begin(AskedPrompt(request, prompt, caller, miss))``
        """
        if self._waiting >= MOST_WAITING:
            return None
        return self._run(lambda: self._of(asked).cause(asked))

    def remember(self, asked: AskedPrompt, id: str) -> None:
        """Keep a served request, soon. Left out where too much waits."""
        explainer = self._of(asked)
        if explainer.previous is not None and self._waiting < MOST_WAITING:
            self._run(lambda: explainer.remember(asked, id))

    def _of(self, asked: AskedPrompt) -> MissExplainer:
        return self._others.get(asked.request.model, self.explainer)

    def _run(self, work: Callable[[], MissCause | None]) -> asyncio.Future[MissCause | None]:
        self._waiting += 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        running.add_done_callback(self._ended)
        return running

    def _ended(self, ended: asyncio.Future[MissCause | None]) -> None:
        self._waiting -= 1
        if not ended.cancelled() and (error := ended.exception()) is not None:
            logger.error("a miss was not explained", exc_info=error)


class ExplainedMiss:
    """A miss whose cause is looked for while its prompt is computed. Event loop only."""

    def __init__(
        self,
        thread: ExplainingThread | None,
        asked: AskedPrompt,
        clock: Timings,
        count: Callable[[Miss], None],
    ) -> None:
        """Begin to look. ``clock.decision`` (modified) gets the cause as soon as it is known. ``count`` is called once,
        with the cause, after both the cause and the first token are there. No ``thread``: no cause is looked for. A
        cause that the decision has already stays.

        Example: ``missed = ExplainedMiss(thread, asked, clock, metrics.missed)``
        """
        assert isinstance(asked.decision, Miss)
        self._clock, self._count = clock, count
        self._miss = clock.decision = asked.decision
        self._replied = False
        self._looking: asyncio.Future[MissCause | None] | None = None
        if (direct := asked.decision.cause or DIRECT.get(asked.decision.reason)) is not None:
            self._know(direct)
        elif thread is not None:
            self._looking = thread.begin(asked)
            if self._looking is not None:
                self._looking.add_done_callback(self._found)

    async def settle(self) -> None:
        """Wait for the cause, at most WAIT_S, with the first token at hand."""
        if self._looking is not None and not self._looking.done():
            await asyncio.wait([self._looking], timeout=WAIT_S)

    def replied(self) -> None:
        """Note that the first token is there: the miss counts."""
        self._replied = True
        if self._looking is None or self._looking.done():
            self._count(self._miss)

    def _found(self, ended: asyncio.Future[MissCause | None]) -> None:
        failed = ended.cancelled() or ended.exception() is not None
        self._know(MissCause.UNKNOWN if failed else ended.result() or MissCause.UNKNOWN)
        if self._replied:
            self._count(self._miss)

    def _know(self, cause: MissCause) -> None:
        self._miss = self._clock.decision = replace(self._miss, cause=cause)
