"""`ExplainingThread`: runs a `MissExplainer` beside the requests, on one thread with a bounded queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from kvproxy.core import MissCause
from kvproxy.explain.miss_explainer import AskedPrompt, MissExplainer

logger = logging.getLogger(__name__)

MOST_WAITING = 64
"""Comparisons and records that may wait; under a flood of misses further ones are left out."""
WAIT_S = 0.0005
"""Seconds that a first token may wait for the cause, where the miss was quicker than the comparison."""


class ExplainingThread:
    """The thread, and the explainer that runs on it. Event loop only; use it in a ``with``."""

    def __init__(self, explainer: MissExplainer) -> None:
        self.explainer = explainer
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread after the work at hand; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(self, asked: AskedPrompt, done: Callable[[MissCause], None]) -> PendingCause:
        """Begin to look for the cause of a miss. ``done`` is called on the event loop with it, once, also where the
        comparison was left out or failed: with UNKNOWN.

        Example: ``pending = thread.begin(AskedPrompt(request, prompt, caller, miss), lambda cause: ...)``
        """
        if self._waiting >= MOST_WAITING:
            done(MissCause.UNKNOWN)
            return PendingCause(None)
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._pool, self.explainer.cause, asked)
        work.add_done_callback(lambda ended: self._tell(ended, done))
        return PendingCause(work)

    def remember(self, asked: AskedPrompt, id: str) -> None:
        """Keep a served request, soon. Left out where too much waits."""
        if self.explainer.previous is None or self._waiting >= MOST_WAITING:
            return
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._pool, self.explainer.remember, asked, id)
        work.add_done_callback(self._ended)

    def _tell(self, ended: asyncio.Future[MissCause | None], done: Callable[[MissCause], None]) -> None:
        self._ended(ended)
        failed = ended.cancelled() or ended.exception() is not None
        done(MissCause.UNKNOWN if failed else ended.result() or MissCause.UNKNOWN)

    def _ended(self, ended: asyncio.Future[MissCause | None] | asyncio.Future[None]) -> None:
        self._waiting -= 1
        if not ended.cancelled() and (error := ended.exception()) is not None:
            logger.error("a miss was not explained", exc_info=error)


class PendingCause:
    """A cause that is being looked for."""

    def __init__(self, work: asyncio.Future[MissCause | None] | None) -> None:
        self._work = work

    async def settle(self) -> None:
        """Wait for it, at most WAIT_S. Its ``done`` has been called where this was enough."""
        if self._work is not None and not self._work.done():
            await asyncio.wait([self._work], timeout=WAIT_S)
