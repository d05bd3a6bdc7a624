"""`PageRows`: the rows of a page store, one for each page file, with the files behind them and their publishers."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

import diskcache

from kvproxy.errors import StorageFull, Unavailable
from kvproxy.store.disk import PageBuffers, PageDisk, PickleRefused, page_name
from kvproxy.store.index_rescue import list_page_files
from kvproxy.store.publisher_shares import NO_OWNER, NoRoom, PublisherShares
from kvproxy.store.store_folder import open_index, page_files

logger = logging.getLogger(__name__)

KEY_BYTES = 32
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class PageRows:
    """The index of one page store, its page files and the room that they take.

    One caller at a time, but for ``open_page`` and the figures of ``shares``.
    """

    def __init__(self, folder: Path, max_size: int, disk: type[PageDisk]) -> None:
        """Open or create the index in ``folder``, which the caller has locked, and drop the rest of killed writes.

        Raises SetupError. Example: ``PageRows(store / "pages", 20 * 2**30, PageDisk)``
        """
        self.folder = folder
        self.shares = PublisherShares(max_size)
        self._cache: diskcache.Cache = open_index(
            folder, disk, lambda cache, _: list_page_files(cache, folder)
        )
        self.read_sizes()
        self.sweep()

    def close(self) -> None:
        """Close the index. Idempotent."""
        self._cache.close()

    def open_page(self, key: bytes) -> FileIO | str | None:
        """Return the page's file, None when there is no row, or the reason why it cannot be opened."""
        try:
            value = self._cache.get(key, read=True)
        except (PickleRefused, sqlite3.Error, diskcache.Timeout) as e:
            return str(e) or type(e).__name__
        if value is None:
            # diskcache hides a file that cannot be opened; a page deleted meanwhile is in neither place.
            return "its file is gone or cannot be opened" if key in self.shares.sizes else None
        return value if isinstance(value, FileIO) else "its row holds no page file"

    def admit(self, length: int, owner: str) -> None:
        """Make room for a page. Raises StorageFull."""
        doomed = self.shares.make_room(length, owner)
        if isinstance(doomed, NoRoom):
            used, size = self.shares.used, self.shares.max_size
            why = f"the page store holds {used} of {size} bytes and {length} more are needed"
            if doomed.publishers > 1 and owner != NO_OWNER:
                why += (
                    f"; your documents hold {doomed.held}, and your share of a full store is {doomed.share}"
                )
            raise StorageFull(f"{why}; delete documents or raise store.max_size", retry_after_s=60)
        if doomed:
            owners = sorted({self.shares.owner(key) or "no document" for key in doomed})
            logger.warning(
                "page store full: %d pages of %s made room for %s", len(doomed), ", ".join(owners), owner
            )
            self.drop(doomed)

    def insert(self, key: bytes, page: PageBuffers, owner: str | None) -> None:
        """Write a page's file and its row, and count it as ``owner``'s. Raises StorageFull, Unavailable.

        Example:
            ``rows.insert(key, page, "tenant:ann")``
        """
        try:
            self._cache.set(key, page)
        except (OSError, sqlite3.Error, diskcache.Timeout) as e:
            # Closing ends a transaction that a failed COMMIT may have left open; the next call reopens.
            self._cache.close()
            self._cache.disk.remove(page_name(key))
            if getattr(e, "errno", None) in _FULL or getattr(e, "sqlite_errorname", "") == "SQLITE_FULL":
                raise StorageFull(
                    "the disk of the page store is full; free space on it, or delete documents",
                    retry_after_s=60,
                ) from e
            reason = str(e) or type(e).__name__
            raise Unavailable(f"the page store cannot write: {reason}", retry_after_s=60) from e
        self.shares.add(key, page.bytes, owner)

    def rows(self) -> list[object]:
        """Return the keys of all rows, those that this class did not write included."""
        try:
            return list(self._cache)
        except sqlite3.Error as e:
            raise Unavailable(f"the index of the page store cannot be read: {e}", retry_after_s=60) from e

    def drop(self, keys: Sequence[object]) -> int:
        """Delete rows in one transaction. A kill within it leaves rows without files, which opening drops."""
        if not keys:
            return 0
        try:
            with self._cache.transact():
                dropped = sum(bool(self._cache.delete(k)) for k in keys)
        except (sqlite3.Error, diskcache.Timeout) as e:
            self._cache.close()
            reason = str(e) or type(e).__name__
            raise Unavailable(f"the page store cannot delete: {reason}", retry_after_s=60) from e
        for key in keys:
            if isinstance(key, bytes):
                self.shares.remove(key)
        return dropped

    def read_sizes(self) -> None:
        """List the rows that have a file and drop those that lost it; ``check`` names foreign rows."""
        lost = []
        for key in self.rows():
            if not isinstance(key, bytes) or len(key) != KEY_BYTES:
                logger.warning("page store %s: a row that is no page is left alone", self.folder)
                continue
            try:
                self.shares.add(key, (self.folder / page_name(key)).stat().st_size, None)
            except FileNotFoundError:
                lost.append(key)
        if lost:
            logger.warning("page store %s: dropped %d pages that lost their files", self.folder, len(lost))
            self.drop(lost)

    def sweep(self) -> None:
        """Remove files that this class made and no row shows: the rest of killed writes."""
        names = {page_name(k) for k in self.shares.sizes}
        for name in page_files(self.folder, own=True):
            if name not in names:
                (self.folder / name).unlink(missing_ok=True)
