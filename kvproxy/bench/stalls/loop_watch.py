"""The longest waits of a task of a millisecond on an event loop, and the code that ran meanwhile."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import FrameType

TICK_S = 0.001
"""Seconds that the ticker sleeps: the excess of a wait over that is a stall."""
SLOW_S = 0.02
"""Seconds of a stall from which on the running code is recorded."""
_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Stall:
    """One wait of the ticker, in seconds."""

    wall_s: float = 0.0
    """Beyond the millisecond that it asked for."""
    loop_cpu_s: float = 0.0
    """Processor time of the loop's own thread meanwhile; the rest was waited for the interpreter's
    lock, or for a core."""
    collecting_s: float = 0.0
    """Spent in the garbage collector meanwhile, on any thread: it holds the interpreter's lock."""
    running: str = ""
    """The innermost frames of the threads that were seen running, the loop's first; empty for a short one."""


class LoopWatch:
    """Keeps the longest stall since it was last asked."""

    def __init__(self) -> None:
        self._longest = Stall()
        self._ticked = time.perf_counter()
        self._seen = ""
        self._collecting_s = 0.0
        self._collection_began = 0.0
        self._ended = threading.Event()

    def take(self) -> Stall:
        """Return the longest stall since the last call. Event loop only."""
        longest, self._longest = self._longest, Stall()
        return longest

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Within the block, the running loop is watched."""
        thread = threading.Thread(target=self._look, args=(threading.get_ident(),), daemon=True)
        ticker = asyncio.create_task(self._tick(), name="loop-watch")
        thread.start()
        gc.callbacks.append(self._collection)
        try:
            yield
        finally:
            gc.callbacks.remove(self._collection)
            self._ended.set()
            ticker.cancel()
            await asyncio.wait([ticker])

    async def _tick(self) -> None:
        while True:
            self._seen, self._ticked = "", time.perf_counter()
            cpu, collecting = time.thread_time(), self._collecting_s
            await asyncio.sleep(TICK_S)
            wall = time.perf_counter() - self._ticked - TICK_S
            if wall > self._longest.wall_s:
                seen = self._seen if wall > SLOW_S else ""
                self._longest = Stall(wall, time.thread_time() - cpu, self._collecting_s - collecting, seen)

    def _collection(self, phase: str, _: dict[str, int]) -> None:
        """As ``gc.callbacks`` are called, with the interpreter's lock held from "start" to "stop"."""
        if phase == "start":
            self._collection_began = time.perf_counter()
        else:
            self._collecting_s += time.perf_counter() - self._collection_began

    def _look(self, loop_thread: int) -> None:
        while not self._ended.wait(SLOW_S / 4):
            if not self._seen and time.perf_counter() - self._ticked > SLOW_S:
                self._seen = _running(loop_thread)


def _running(loop_thread: int) -> str:
    frames = sys._current_frames()
    mine = threading.get_ident()
    threads = sorted((ident for ident in frames if ident != mine), key=lambda ident: ident != loop_thread)
    return "; ".join(filter(None, (_where(frames[ident]) for ident in threads)))


def _where(frame: FrameType) -> str:
    """Innermost frame first; empty for a thread that waits for work."""
    if frame.f_code.co_filename.endswith(
        ("threading.py", "selectors.py", "queue.py", "concurrent/futures/thread.py")
    ):
        return ""
    steps: list[str] = []
    at: FrameType | None = frame
    while at is not None and len(steps) < _DEPTH:
        name = at.f_code.co_filename.rpartition("/")[2].removesuffix(".py")
        steps.append(f"{name}.{at.f_code.co_name}:{at.f_lineno}")
        at = at.f_back
    return " < ".join(steps)
