"""`ServiceManager`: the supervisor that started this process, told of its states by systemd's protocol of datagrams."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

logger = logging.getLogger(__name__)

SOCKET, WATCHDOG, WATCHDOG_PROCESS = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


class ServiceManager:
    """A supervisor that is told ``READY=1``, ``STOPPING=1`` and, as often as it asks, ``WATCHDOG=1``.

    Without NOTIFY_SOCKET there is none, and every method does nothing. A supervisor that cannot be reached is logged
    once and never an error: what is served matters more.

    Example:
        ``ServiceManager.of(os.environ).say("loading the model")``
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        """Take the socket's path, ``@`` in front of an abstract one, and the seconds within which it wants a sign."""
        self._watchdog_s = watchdog_s
        self._socket: socket.socket | None = None
        if address is None:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        try:
            self._socket.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError as e:
            self._lose(e)

    @classmethod
    def of(cls, environ: Mapping[str, str], process: int | None = None) -> ServiceManager:
        """Return the supervisor that the environment names for ``process``, this one by default."""
        address = environ.get(SOCKET, "")
        if not address.startswith(("/", "@")) or len(address) < 2:
            return cls()
        asked = environ.get(WATCHDOG, "")
        meant = environ.get(WATCHDOG_PROCESS, "") in ("", str(process or os.getpid()))
        watched = meant and asked.isascii() and asked.isdigit() and int(asked) > 0
        return cls(address, int(asked) / 1e6 if watched else None)

    def say(self, status: str) -> None:
        """Tell one line for people, at once or not at all."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.send(f"STATUS={status}".encode())

    @asynccontextmanager
    async def watching(self, status: str) -> AsyncIterator[None]:
        """Tell that requests are served, and give the signs of life that are asked for until the block ends.

        They come from the event loop, at half of the time that the supervisor allows: one that hangs gives none.
        """
        await self._tell(f"READY=1\nSTATUS={status}")
        pulse = asyncio.create_task(self._pulse())
        try:
            yield
        finally:
            pulse.cancel()
            with suppress(asyncio.CancelledError):
                await pulse

    async def stopping(self, status: str) -> None:
        """Tell that the process ends, before its last answers do."""
        await self._tell(f"STOPPING=1\nSTATUS={status}")

    def close(self) -> None:
        """Close the socket; nothing is told from now on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _pulse(self) -> None:
        while self._watchdog_s is not None and self._socket is not None:
            await self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)

    async def _tell(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            # Waits, aside of the loop, where the supervisor has not read what came before.
            async with asyncio.timeout(5):
                await asyncio.get_running_loop().sock_sendall(self._socket, text.encode())
        except TimeoutError:
            logger.warning("the service manager does not read its notifications")
        except OSError as e:
            self._lose(e)

    def _lose(self, e: OSError) -> None:
        logger.warning("the service manager of %s cannot be told anything: %s", SOCKET, e.strerror or e)
        self.close()
