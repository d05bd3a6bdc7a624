"""`WriteBehind`: brings the object store up to date with the local files, on threads of its own.

Nobody waits for it: a first token and a publish are answered with local files. Only keys are queued, so memory does not
grow with what waits; a page's bytes are read from its file when its turn comes.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from io import BytesIO
from itertools import islice

from kvproxy.errors import KVProxyError
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_results import ObjectsUnavailable
from kvproxy.store import page_file
from kvproxy.store.page_record import PageRecord
from kvproxy.store.page_store import PageStore
from kvproxy.tiers.pending_deletes import PendingDeletes

logger = logging.getLogger(__name__)

WORKERS = 2
MOST_FETCHED = 4
"""Fetched pages that wait to be kept in local files, in memory; further ones are not kept."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_JOIN_S = 5.0
_DELETED_AT_ONCE = 500


class _Work(Enum):
    STORE = auto()
    DELETE = auto()


class WriteBehind:
    """A queue of pages to write to the object store and to delete from it; the latest wish for a page counts.

    Any thread. Failures are retried for ever, with growing pauses: what waits is in local files, and in
    :class:`PendingDeletes`, and a later process goes on with it.

    Example:
        ``behind = WriteBehind(local, objects, deletes); behind.store(key); behind.close()``
    """

    def __init__(self, local: PageStore, objects: ObjectPages, deletes: PendingDeletes) -> None:
        """Start the threads; what an earlier process left is queued by :meth:`resume`."""
        self._local, self._objects, self._deletes = local, objects, deletes
        self._changed = threading.Condition()
        self._waiting: dict[bytes, _Work] = {}
        self._fetched: deque[tuple[bytes, bytes]] = deque()
        self._busy: set[bytes] = set()
        self._closed = False
        self._pause_s = 0.0
        self.written = 0
        """Pages written to the object store."""
        self.passed_over = 0
        """Pages that left the local files before their turn, or were damaged there."""
        self._threads = [
            threading.Thread(target=self._run, name=f"kvproxy-objects-{i}", daemon=True)
            for i in range(WORKERS)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def backlog(self) -> int:
        """Pages that wait to be written or deleted, or are at it."""
        with self._changed:
            return len(self._waiting.keys() | self._busy)

    def store(self, key: bytes) -> None:
        """Queue a page that is in a local file."""
        if key in self._deletes:
            self._deletes.done([key])
        with self._changed:
            self._waiting[key] = _Work.STORE
            self._changed.notify()

    def delete(self, keys: Iterable[bytes]) -> None:
        """Queue pages for deletion; they will be deleted even if this process is killed now. Raises OSError."""
        doomed = list(keys)
        self._deletes.add(doomed)
        with self._changed:
            self._waiting.update(dict.fromkeys(doomed, _Work.DELETE))
            self._changed.notify_all()

    def keep(self, key: bytes, content: bytes) -> None:
        """Queue a fetched page to be kept in a local file, where there is room for it; else it is passed over."""
        with self._changed:
            if len(self._fetched) < MOST_FETCHED and not self._closed:
                self._fetched.append((key, content))
                self._changed.notify()

    def resume(self) -> int:
        """Queue what earlier processes left: local pages that the store does not list, and deletes. Return the number
        of pages."""
        missing = [key for key in self._local.keys() if not self._objects.has(key)]
        with self._changed:
            for key in self._deletes.keys:
                self._waiting[key] = _Work.DELETE
            for key in missing:
                self._waiting.setdefault(key, _Work.STORE)
            self._changed.notify_all()
        return len(missing)

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing waits; False when something still does after ``timeout_s``."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._waiting or self._busy or self._fetched), timeout_s
            )

    def close(self) -> None:
        """Stop, and wait some seconds for the calls that have begun; what waits is left to the next process."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._ready())
                if self._closed:
                    return
                fetched = self._fetched.popleft() if self._fetched else None
                keys, work = ([fetched[0]], None) if fetched else self._take()
                self._busy.update(keys)
            try:
                if fetched is not None:
                    self._keep(*fetched)
                elif work is not None:
                    self._do(keys, work)
            finally:
                with self._changed:
                    self._busy.difference_update(keys)
                    self._changed.notify_all()

    def _ready(self) -> bool:
        return bool(self._fetched) or any(key not in self._busy for key in self._waiting)

    def _take(self) -> tuple[list[bytes], _Work]:
        """Take the work that has waited longest: one page to write, or as many as one request deletes."""
        free = (key for key in self._waiting if key not in self._busy)
        first = next(free)
        work, keys = self._waiting[first], [first]
        if work is _Work.DELETE:
            keys += [key for key in islice(free, _DELETED_AT_ONCE) if self._waiting[key] is work]
        for key in keys:
            del self._waiting[key]
        return keys, work

    def _do(self, keys: list[bytes], work: _Work) -> None:
        try:
            if work is _Work.DELETE:
                self._objects.delete(keys)
                self._deletes.done(keys)
            elif (content := self._uploadable(keys[0])) is not None:
                self._objects.write(keys[0], content)
                self.written += 1
            else:
                self.passed_over += 1
        except Exception as e:
            with self._changed:
                for key in keys:
                    self._waiting.setdefault(key, work)
            self._rest(e)
        else:
            if self._pause_s:
                logger.info("the object store takes pages again")
            self._pause_s = 0.0

    def _rest(self, error: Exception) -> None:
        """Pause before the next attempt, longer each time."""
        message = error.detail if isinstance(error, ObjectsUnavailable) else repr(error)
        if not self._pause_s:
            level = logging.WARNING if isinstance(error, ObjectsUnavailable) else logging.ERROR
            logger.log(level, "%d pages wait to be written to the object store: %s", self.backlog, message)
        self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
        pause_s = self._pause_s * random.uniform(0.5, 1)
        with self._changed:
            self._changed.wait_for(lambda: self._closed, max(pause_s, self._objects.store.breaker.rest_s))

    def _uploadable(self, key: bytes) -> bytes | None:
        """Return a page's sound file, if it is of this engine, and encrypted where pages are to be."""
        content = self._local.read_file(key)
        if content is None:
            return None
        record, packing = page_file.read_record(BytesIO(content)), self._local.packing
        if not isinstance(record, PageRecord) or record.fingerprint != packing.fingerprint:
            return None
        return content if record.sealed == (packing.seal is not None) else None

    def _keep(self, key: bytes, content: bytes) -> None:
        usage = self._local.usage()
        if key in self._deletes or self._local.has(key) or usage.bytes + len(content) > usage.max_size:
            return
        try:
            self._local.put_file(key, content)
        except KVProxyError as e:
            logger.warning("a page from the object store is not kept in a local file: %s", e.message)
