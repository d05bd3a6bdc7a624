"""`AdvisoryLocks`: locks that the processes of one PostgreSQL share. A process that is killed holds none any more."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL
from sqlalchemy.engine import Engine

from kvproxy.database.connection_limits import limited
from kvproxy.errors import ShuttingDown, Unavailable

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

RETRY_S = 5
"""Seconds that a client is asked to wait while the database is away."""

_SERVER_LOOKS = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""Lets the server notice within half a minute that this machine is gone, and give its locks back."""


class AdvisoryLocks:
    """Locks of one session of its own, by name. Blocking, any thread; nothing waits for another holder here.

    A session that breaks loses its locks: the next call opens another one and takes back what is still free. Whoever
    worked under a lock that was lost goes on; the registry's own keys keep two writers' versions apart.

    Example:
        ``if database.locks.take("handbook"): ...; database.locks.give_back("handbook")``
    """

    def __init__(self, url: URL, engine: Engine) -> None:
        """Connect to nothing yet."""
        self._url, self._engine = url, engine
        self._session: psycopg.Connection[Any] | None = None
        self._held: set[str] = set()
        self._one = threading.Lock()
        self._closed = False
        self._failed_at = -math.inf

    def take(self, name: str) -> bool:
        """Take a lock if nobody has it; return whether this process holds it now. Raises Unavailable, and
        ShuttingDown after ``close``."""
        asked_at = time.monotonic()
        with self._one:
            if asked_at < self._failed_at:
                raise _away()  # who waited for a try that failed has its answer: each waits on a thread of requests'
            if self._closed:  # by a thread that outlives its owner: its session would have nobody to end it
                raise ShuttingDown("The database is closed; the proxy is shutting down.")
            taken = self._ask("SELECT pg_try_advisory_lock(%s)", name)
            if taken:
                self._held.add(name)
            return taken

    def give_back(self, name: str) -> None:
        """Give a lock back. Without a database it is given back by the session's end; that is no error."""
        with self._one:
            self._held.discard(name)
            if self._session is not None:
                try:
                    self._session.execute("SELECT pg_advisory_unlock(%s)", (lock_number(name),))
                except Exception as e:
                    logger.warning("a document's lock is given back by the end of its session: %s", e)
                    self._end()

    def close(self) -> None:
        """End the session, and with it every lock; none is taken after it. Idempotent."""
        with self._one:
            self._closed = True
            self._end()

    def _ask(self, statement: str, name: str) -> bool:
        """Ask for a lock, in a new session where the one that was there has broken."""
        import psycopg

        again = self._session is not None
        try:
            try:
                return self._asked(statement, name)
            except psycopg.Error:
                self._end()
                if not again:
                    raise
                return self._asked(statement, name)
        except psycopg.Error as e:
            self._end()
            self._failed_at = time.monotonic()
            raise _away() from e

    def _asked(self, statement: str, name: str) -> bool:
        if self._session is None:
            self._session = self._opened()
        row = self._session.execute(statement, (lock_number(name),)).fetchone()
        return row is not None and bool(row[0])

    def _opened(self) -> psycopg.Connection[Any]:
        import psycopg

        arguments, options = self._engine.dialect.create_connect_args(self._url)
        session = psycopg.connect(
            *arguments, **{**options, **limited(self._url, "kvproxy-locks")}, autocommit=True
        )
        try:
            session.execute(_SERVER_LOOKS)
            for name in self._held:
                number = lock_number(name)
                row = session.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone()
                if row is None or not row[0]:
                    logger.warning("another proxy has taken a document's lock while the database was away")
        except BaseException:
            session.close()
            raise
        return session

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _away() -> Unavailable:
    return Unavailable(
        "The database that the proxies share cannot be reached, so that nothing is changed now. Try again.",
        retry_after_s=RETRY_S,
    )


def lock_number(name: str) -> int:
    """Return PostgreSQL's number of a lock, signed 64 bits: two names may share one, and then wait for each other."""
    digest = hashlib.sha256(b"kvproxy document\0" + name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
