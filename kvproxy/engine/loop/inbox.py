"""What other threads ask of the engine's."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from concurrent.futures import Future

logger = logging.getLogger(__name__)


class Inbox:
    """Calls, run in order on the thread that takes them."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def has_calls(self) -> bool:
        """Whether there is a call to be taken."""
        return not self._calls.empty()

    def put(self, call: Callable[[], None]) -> None:
        """``call`` should not raise: what it raises is logged, and nobody hears of it."""
        self._calls.put(call)

    def ask(self, function: Callable[[], object]) -> Future[object]:
        """The future also carries what the function raised."""
        future: Future[object] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as e:
                future.set_exception(e)

        self._calls.put(run)
        return future

    def take(self, *, wait: bool, timeout_s: float | None) -> None:
        """Run all that is there. ``wait``: for the first call, so long at most; None: for as long as it takes."""
        try:
            call = self._calls.get(block=wait, timeout=timeout_s)
            while True:
                try:
                    call()
                except Exception:
                    logger.exception("a call to the engine's thread failed; the others are run")
                call = self._calls.get_nowait()
        except queue.Empty:
            return
