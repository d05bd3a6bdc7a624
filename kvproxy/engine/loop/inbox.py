"""A thread-safe queue of calls to run on the engine thread between two steps."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from concurrent.futures import Future

logger = logging.getLogger(__name__)


class Inbox:
    """Calls from any thread, run in order on the thread that takes them."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def has_calls(self) -> bool:
        """Return whether a call is waiting to be run."""
        return not self._calls.empty()

    def put(self, call: Callable[[], None]) -> None:
        """Queue a call. It should not raise: an exception is logged and reaches no caller."""
        self._calls.put(call)

    def ask(self, function: Callable[[], object]) -> Future[object]:
        """Queue a function and return its result as a future, which also carries the function's exception."""
        future: Future[object] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as e:
                future.set_exception(e)

        self._calls.put(run)
        return future

    def take(self, *, wait: bool, timeout_s: float | None) -> None:
        """Run all queued calls.

        ``wait``: block until there is a first call, for ``timeout_s`` seconds at most (None: without a limit).
        Example: ``inbox.take(wait=True, timeout_s=0.02)``
        """
        try:
            call = self._calls.get(block=wait, timeout=timeout_s)
            while True:
                try:
                    call()
                except Exception:
                    logger.exception("a call to the engine thread failed; the calls behind it are run")
                call = self._calls.get_nowait()
        except queue.Empty:
            return
