"""`progressing`: the event stream of a long operation, with its progress at intervals and its result at the end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from kvproxy.core.report_progress import ReportProgress
from kvproxy.errors import KVProxyError
from kvproxy.server.answers.client_stream import SseStream
from kvproxy.wire.answers import event_bytes
from kvproxy.wire.kv_documents.document_types import PublishProgress

PROGRESS_S = 0.25
"""Seconds between two progress events."""

Result = Mapping[str, Any]


async def progressing(
    request: web.Request, work: Callable[[ReportProgress], Awaitable[Result]]
) -> web.StreamResponse:
    """Stream events ``progress``, then ``result`` or ``error``. ``work`` gets the function to report progress with.

    Example: ``return await progressing(request, lambda progress: warm(request, ref, progress))``
    """
    progress = _Progress()
    async with SseStream(
        request, interval_s=PROGRESS_S, pulse=progress.event, on_error=_error_event
    ) as stream:
        result = await work(progress)
        await stream.start({})
        await stream.finish(progress.event() + event_bytes.event(result, "result"))
    return stream.response


def _error_event(error: KVProxyError) -> bytes:
    return event_bytes.event(error.body(), "error")


class _Progress:
    """The latest ``(done, total)``, sent at intervals; counts between two events are not sent."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._counts: tuple[int, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._counts is None:
            self._began = time.monotonic()
        self._counts = (done, total)

    def event(self) -> bytes:
        """Return the progress event, or a keep-alive before the first count."""
        if self._counts is None:
            return event_bytes.KEEPALIVE
        done, total = self._counts
        rate = done / max(time.monotonic() - self._began, 1e-3)
        progress: PublishProgress = {"done": done, "total": total, "tokens_per_s": round(rate, 1)}
        return event_bytes.event(progress, "progress")
