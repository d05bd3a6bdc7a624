"""`ChangeFeed`: tells subscribers of committed changes, those of other processes included where the database can."""

from __future__ import annotations

import logging
import math
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL
from sqlalchemy.engine import Engine

from kvproxy.database.announcements import CHANNEL, Change, ChangeTopic, decode_change
from kvproxy.database.connection_limits import limited

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

Told = Callable[[Change], None]
"""Called with each change, on any thread. It returns at once and raises nothing: the event loop's
``call_soon_threadsafe`` does the rest."""

_PROBE_S = 5.0
"""Seconds of silence after which the connection is asked whether it is alive."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LASTING_S = 10.0
"""Seconds for which a connection lasts before the pauses begin anew: one that is let in and cut off at once, again and
again, would else have everything read ten times a second."""


class ChangeFeed:
    """Subscribers, and on PostgreSQL a thread that listens with a connection of its own. Any thread.

    Nothing is queued here: a subscriber keeps what it has still to do, by name, so that a flood of changes costs it a
    set of names. After a connection was lost, and after the first one, each topic is told of with an empty name.

    Example:
        ``stop = database.changes.subscribe(told); database.changes.listen()``
    """

    def __init__(self, url: URL, engine: Engine, process: str) -> None:
        """Tell of this process's own changes alone, until ``listen``."""
        self._url, self._engine, self._process = url, engine, process
        self._subscribers: tuple[Told, ...] = ()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._woken: socket.socket | None = None
        self._wake: socket.socket | None = None
        self._closing = False
        self._up = threading.Event()

    @property
    def can_listen(self) -> bool:
        """True where the database tells of other processes' changes."""
        return self._url.get_backend_name() == "postgresql"

    @property
    def listening(self) -> bool:
        """True while the listener is connected. Always false on SQLite."""
        return self._up.is_set()

    def wait_until_listening(self, timeout_s: float) -> bool:
        """Wait for the listener's connection. Blocking."""
        return self._up.wait(timeout_s)

    def subscribe(self, told: Told) -> Callable[[], None]:
        """Call ``told`` with each change from now on, until the returned function is called."""
        with self._lock:
            self._subscribers = (*self._subscribers, told)

        def stop() -> None:
            with self._lock:
                self._subscribers = tuple(one for one in self._subscribers if one is not told)

        return stop

    def tell(self, change: Change) -> None:
        """Tell every subscriber. A subscriber that fails is logged: the others are told all the same."""
        for told in self._subscribers:
            try:
                told(change)
            except Exception:
                logger.exception("a change of %s could not be followed", change.topic)

    def listen(self) -> None:
        """Follow other processes' changes until ``close``. Idempotent; nothing on SQLite."""
        with self._lock:
            if self._thread is not None or self._closing or not self.can_listen:
                return
            self._woken, self._wake = socket.socketpair()
            self._thread = threading.Thread(target=self._run, name="kvproxy-changes", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread and its connection. Idempotent."""
        with self._lock:
            already, self._closing = self._closing, True
            thread, woken, wake = self._thread, self._woken, self._wake
        if already or thread is None or woken is None or wake is None:
            return
        wake.send(b"x")
        thread.join()
        woken.close()
        wake.close()

    def _run(self) -> None:
        pause_s, failing = 0.0, False
        while not self._sleep(pause_s):
            since = math.inf
            try:
                with closing(self._connected()) as connection:
                    if failing:
                        logger.warning("changes of other proxies are followed again; all is read once")
                    since, failing = time.monotonic(), False
                    self._up.set()
                    for topic in ChangeTopic:
                        self.tell(Change(topic))
                    self._follow(connection)
            except Exception as e:  # whatever a driver raises: the thread goes on
                if not failing and not self._closing:
                    logger.warning(
                        "changes of other proxies are not heard of until the database is back: %s", e
                    )
                failing = True
                lasted = time.monotonic() - since >= _LASTING_S
                pause_s = min(
                    _FIRST_PAUSE_S if lasted else max(_FIRST_PAUSE_S, 2 * pause_s), _LONGEST_PAUSE_S
                )
            finally:
                self._up.clear()

    def _connected(self) -> psycopg.Connection[Any]:
        import psycopg

        arguments, options = self._engine.dialect.create_connect_args(self._url)
        connection = psycopg.connect(
            *arguments, **{**options, **limited(self._url, "kvproxy-changes")}, autocommit=True
        )
        try:
            connection.add_notify_handler(lambda notify: self._heard(notify.payload))
            connection.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _heard(self, payload: str) -> None:
        change = decode_change(payload, self._process)
        if change is not None and not change.own:  # its own were told of at their commit
            self.tell(change)

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        """Wait for notifications until ``close``. Raises the driver's errors when the connection is lost."""
        while not self._closing:
            self._wait(_PROBE_S, connection.fileno())
            if not self._closing:
                connection.execute(
                    "SELECT 1"
                )  # reads what has arrived; after silence, whether anybody is there

    def _sleep(self, pause_s: float) -> bool:
        """Wait; return whether the feed is being closed."""
        if pause_s and not self._closing:
            self._wait(pause_s * random.uniform(0.5, 1.0))
        return self._closing

    def _wait(self, seconds: float, *descriptors: int) -> None:
        """Wait until there is something to read, or the feed is closed."""
        assert self._woken is not None
        with selectors.DefaultSelector() as selector:  # select() takes no descriptor above 1,023
            for descriptor in (*descriptors, self._woken.fileno()):
                selector.register(descriptor, selectors.EVENT_READ)
            selector.select(seconds)
