"""`ObjectPages`: the pages of one engine in an object store, each a page file byte for byte, under its page key.

A page's name says all that its numbers depend on, so an object is written once and never changes; an equal one that is
there already is as good as our own. Its content is verified by whoever reads it, as a local file's is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from kvproxy.objects.object_results import ObjectAbsent, ObjectsUnavailable, ObjectTooLarge
from kvproxy.objects.object_store import ObjectStore
from kvproxy.store.page_results import Missing, Rejected

logger = logging.getLogger(__name__)

LARGEST = 2**29
"""Bytes of a page file at most: beyond any model's, and small enough to be read into memory."""

_AT_ONCE = 500
"""Names deleted by one call."""

_FOUND_AT_ONCE = 8
"""Pages asked for at a time."""


class ObjectPages:
    """Page files by page key. ``has`` answers from memory: from the latest listing and from what was written since.

    Any thread. Calls but ``has`` and ``keys`` block, within the bounds of :class:`ObjectStore`.

    Example:
        ``pages = ObjectPages(ObjectStore(address), model.fingerprint); pages.refresh()``
    """

    def __init__(self, store: ObjectStore, fingerprint: str) -> None:
        """Know no page yet: :meth:`refresh` lists them."""
        self.store = store
        self.prefix = f"pages/{fingerprint[:32]}/"
        self._lock = threading.Lock()
        self._known: set[bytes] = set()
        self._damaged: set[bytes] = set()
        """Pages of which a damaged copy was read: the next one that is written takes its place."""
        self._since: dict[bytes, bool] = {}
        """Pages written (True) and deleted (False) since the listing in progress began."""

    def refresh(self) -> int:
        """List the pages anew, those of other proxies included, and return their number. Raises ObjectsUnavailable.

        A request for each 1,000; 100 bytes of memory for each page.
        """
        with self._lock:
            self._since = {}
        found = {key for name in self.store.names(self.prefix) if (key := _key_of(name)) is not None}
        with self._lock:
            for key, there in self._since.items():
                (found.add if there else found.discard)(key)
            self._known = found - self._damaged
            return len(self._known)

    def has(self, key: bytes) -> bool:
        """Return whether the page is known to be in the store; only reading says whether it is sound. No I/O."""
        return key in self._known

    def keys(self) -> Collection[bytes]:
        """Return the keys of all known pages at this moment."""
        with self._lock:
            return frozenset(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def find(self, keys: Iterable[bytes]) -> int:
        """Ask the store for pages that are not known yet, several at a time; return the number of all that are there.

        Without an answer they stay unknown until the next listing. Raises nothing.

        Example:
            ``there = pages.find(stored_keys)``
        """
        asked = list(keys)
        unknown = [key for key in asked if key not in self._known]
        if unknown:
            with ThreadPoolExecutor(min(_FOUND_AT_ONCE, len(unknown)), "kvproxy-object-find") as threads:
                for key, there in zip(unknown, threads.map(self._is_there, unknown), strict=True):
                    if there and key not in self._damaged:
                        self._note(key, there=True)
        return sum(key in self._known for key in asked)

    def _is_there(self, key: bytes) -> bool:
        return bool(self.front(key, 1))

    def forget(self, keys: Iterable[bytes]) -> None:
        """Know no more of pages that another proxy deletes; nothing is asked of the store."""
        for key in keys:
            self._note(key, there=False)

    def fetch(self, key: bytes) -> bytes | Missing | Rejected:
        """Read a page's file, unverified. Rejected where the store does not answer, or gives what cannot be a page."""
        try:
            found = self.store.read(self._name(key), LARGEST)
        except ObjectsUnavailable as e:
            return Rejected(e.detail)
        if isinstance(found, ObjectAbsent):
            self._note(key, there=False)
            return Missing()
        if isinstance(found, ObjectTooLarge):
            self.note_damage(key)
            return Rejected(f"an object of {found.size} bytes is no page")
        self._note(key, there=True)
        return bytes(found.data)

    def front(self, key: bytes, size: int) -> bytes | None:
        """Read a page file's first bytes, or fewer where it has fewer; None where there is none, or no answer."""
        try:
            return self.store.read_front(self._name(key), size)
        except ObjectsUnavailable:
            return None

    def write(self, key: bytes, file: bytes | memoryview) -> bool:
        """Write a page's file; return False where it was there already. Raises ObjectsUnavailable."""
        if key in self._damaged:
            self.store.replace(self._name(key), file)
            created = True
        else:
            created = self.store.create(self._name(key), file)
        self._damaged.discard(key)
        self._note(key, there=True)
        return created

    def delete(self, keys: Iterable[bytes]) -> None:
        """Delete pages; those that are not there are passed over. Raises ObjectsUnavailable, with some deleted."""
        doomed = list(keys)
        for begin in range(0, len(doomed), _AT_ONCE):
            some = doomed[begin : begin + _AT_ONCE]
            self.store.delete([self._name(key) for key in some])
            for key in some:
                self._note(key, there=False)

    def note_damage(self, key: bytes) -> None:
        """Record that the page's object was read and is not sound: it counts as missing, and may be written again.

        It is not deleted: where something between here and the store cut it short, it is sound for others.
        """
        self._damaged.add(key)
        self._note(key, there=False)

    def _note(self, key: bytes, *, there: bool) -> None:
        with self._lock:
            self._since[key] = there
            (self._known.add if there else self._known.discard)(key)

    def _name(self, key: bytes) -> str:
        text = key.hex()
        return f"{self.prefix}{text[:2]}/{text}.page"


def _key_of(name: str) -> bytes | None:
    folder, _, file = name.rpartition("/")
    try:
        key = bytes.fromhex(file.removesuffix(".page"))
    except ValueError:
        return None
    return key if len(key) == 32 and file.endswith(".page") and folder.endswith(f"/{file[:2]}") else None
