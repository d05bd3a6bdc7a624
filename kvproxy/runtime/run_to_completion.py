"""`run_to_completion`: a coroutine that a cancelled caller still finishes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_to_completion(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` to its end even if this task is cancelled meanwhile; the cancellation is raised after it.

    A failure of ``work`` gives way to the cancellation, so ``work`` cleans up after itself.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as e:
            cancelled = e
    if cancelled is not None:
        task.exception()
        raise cancelled
    task.result()
