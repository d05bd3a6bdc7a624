"""The mock upstream on a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from tests.backends.mock_upstream import MockUpstream, mock_upstream


@contextmanager
def upstream_thread() -> Iterator[MockUpstream]:
    """Set its fields between requests only."""
    started: Future[tuple[MockUpstream, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with mock_upstream() as upstream:
            stop = asyncio.Event()
            started.set_result((upstream, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="mock-upstream")
    thread.start()
    upstream, loop, stop = started.result(timeout=60)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
