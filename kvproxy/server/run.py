"""Serve an application until a signal, then let running requests finish."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from kvproxy.errors import SetupError
from kvproxy.runtime.service_manager import ServiceManager
from kvproxy.server.middleware.connection import ConnectionRunner
from kvproxy.server.shutdown import Drain

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

BACKLOG = 1024

SWITCH_S = 0.0005
"""Seconds that another thread keeps the interpreter's lock while the event loop waits for it. The loop releases it at
each write to a socket, so with Python's default of 5 ms a large request's thread would cost 64 streams 320 ms a
round."""


async def serve(
    app: web.Application,
    host: str,
    port: int,
    drain: Drain,
    announce: Callable[[str, int], None],
    manager: ServiceManager | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; return when running requests have finished and the app is cleaned up.

    ``announce(host, port)`` is called once requests are accepted, with the port that was bound (0 picks one).
    After the signal new requests are answered 503. A second signal cuts the running ones; a third one kills.
    ``manager`` is told both, and gets its signs of life. Raises SetupError when the address cannot be bound.
    Example: ``await serve(build_app(components), "127.0.0.1", 8321, components.drain, print)``
    """
    stop, manager = asyncio.Event(), manager or ServiceManager()
    sys.setswitchinterval(SWITCH_S)
    # A client that leaves frees its engine rows by cancellation, which aiohttp has off by default.
    runner = ConnectionRunner(app, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as e:
            raise SetupError(
                f"cannot listen on {host} port {port}: {e.strerror or e}; choose another port"
            ) from e
        with _signals(stop, drain):
            announce(host, runner.addresses[0][1])
            async with manager.watching(f"serving on {host} port {runner.addresses[0][1]}"):
                await stop.wait()
                ending = f"shutting down; {drain.in_flight} requests still running"
                logger.info(ending)
                drain.begin()
                await manager.stopping(ending)
                await drain.finish()
    finally:
        await runner.cleanup()


@contextmanager
def _signals(stop: asyncio.Event, drain: Drain) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def received() -> None:
        if not stop.is_set():
            stop.set()
            return
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        drain.expire()

    for number in SIGNALS:
        loop.add_signal_handler(number, received)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
