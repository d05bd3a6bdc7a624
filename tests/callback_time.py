"""The CPU time of an event loop's callbacks, each alone: what one of them takes, everybody else waits."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass
class CallbackTime:
    """``longest_s``: CPU time of this thread in the longest callback, wherever the machine is busy besides."""

    longest_s: float = 0.0
    callback: str = ""


@contextmanager
def callback_time() -> Iterator[CallbackTime]:
    """Measures every callback that runs in this thread inside of the block. The garbage collector waits: it runs in
    whichever callback comes at its turn, and takes as long as the process is large."""
    longest = CallbackTime()
    handles: Any = asyncio.Handle
    run = handles._run  # asyncio's own debug mode measures there too, by the wall
    mine = threading.get_ident()

    def timed(handle: asyncio.Handle) -> None:
        if threading.get_ident() != mine:
            run(handle)
            return
        began = time.thread_time()
        run(handle)
        if (took := time.thread_time() - began) > longest.longest_s:
            longest.longest_s, longest.callback = took, repr(handle)

    collecting = gc.isenabled()
    gc.disable()
    handles._run = timed
    try:
        yield longest
    finally:
        handles._run = run
        if collecting:
            gc.enable()


CALIBRATION_S = 0.04
"""Seconds of the work of ``slowness`` on a common machine."""


@cache
def slowness() -> float:
    """Measure the factor by which this machine's processor time for a fixed piece of work, reading JSON, exceeds a
    common one's; at least 1."""
    text = "[" + ",".join(["{}"] * 200_000) + "]"
    begun = time.thread_time()
    json.loads(text, object_pairs_hook=dict)
    return max(1.0, (time.thread_time() - begun) / CALIBRATION_S)
