"""The thread that runs every torch kernel of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class KernelThread:
    """Calls run one after another on one daemon thread, from the loading of the model to the last tile.

    OpenMP gives each thread that enters a parallel region a team of its own, and when the teams' threads
    outnumber the cores, libgomp stops spinning between regions: with the model loaded on a second thread, a
    prefill took 1.35 times as long. So torch is called nowhere else.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kvproxy-engine", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call and return its result as a future, which also carries the call's exception.

        Example: ``thread.submit(load_model, folder, dtype=torch.bfloat16).result()``
        """
        future: Future[T] = Future()

        def call() -> None:
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as e:
                future.set_exception(e)

        self._calls.put(call)
        return future

    def close(self) -> None:
        """End the thread after the calls that were submitted. Idempotent."""
        self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
