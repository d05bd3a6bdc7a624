"""The folder of a page store: one process at a time, and a broken index set aside, not obeyed."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import diskcache
from diskcache.core import DBNAME

from kvproxy.errors import SetupError
from kvproxy.store.disk import PageDisk
from kvproxy.store.sqlite.sqlite_pages import read_wal

logger = logging.getLogger(__name__)

_OWN_FILE = re.compile(r"[0-9a-f]{2}/[0-9a-f]+\.(page|part)")
ASIDE = "broken-"
"""Beginning of the names of folders that hold damaged indexes."""
_STORE_NAMES = (
    "lock",
    "pages",
    "responses",
    "spill",
    "objects-deletes",
    "documents.",
    "prepared.sqlite3",
    "kvproxy.sqlite3",
    "keys.secret",
    "host-keys",
    "ledger",
    ".probe-",
    "lost+found",
)
"""Beginnings of the names in a store's own folder, and in an empty file system."""
_HARMLESS = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_NOMEM", "SQLITE_CANTOPEN", "SQLITE_READONLY",
             "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_IOERR")  # fmt: skip
"""Beginnings of error names that say nothing against the file itself: it is left in place."""

Rescue = Callable[[diskcache.Cache, Path], str]
"""Puts the parts of a damaged index that can be verified into a new, empty one, and returns a sentence about them.
Called with the new index and the damaged file."""


class FolderLock:
    """A lock held while a store is open. Opening removes files without a row, so no other process may be writing."""

    def __init__(self, folder: Path) -> None:
        """Lock the folder. Raises SetupError when another process holds it.

        The kernel unlocks it however the process ends.
        """
        self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(self._fd)
            raise SetupError(
                f"the page store {folder} is in use by another kvproxy; stop it, or set another store.path"
            ) from e

    def release(self) -> None:
        """Unlock the folder. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold a store's lock while it is only read, also on a medium that cannot be written. Raises SetupError when
    another process has the store open.

    Example: ``with hold_folder(store): faults = check_store(store, snapshot).faults``
    """
    try:
        lock = FolderLock(folder)
    except OSError as e:
        if e.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise SetupError(f"the store {folder} cannot be locked: {e.strerror}") from e
        yield  # who cannot write the lock cannot disturb a proxy that has it
        return
    try:
        yield
    finally:
        lock.release()


def make_folder(folder: Path) -> None:
    """Create a folder for its owner alone, or take an existing one with its mode. Raises SetupError.

    The mode of a folder that another program made is not ours to change. Files in it are private all the same.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as e:
        raise SetupError(
            f"cannot write to the page store {folder} ({e.strerror}); set store.path to a folder you own"
        ) from e


def check_own(folder: Path) -> None:
    """Refuse a folder that holds other things and no store: one that is shared, or named by mistake.

    Raises SetupError.
    """
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as e:
        raise SetupError(f"cannot read the page store {folder} ({e.strerror}); set store.path") from e
    ours = "documents.sqlite3" in names or (folder / "pages" / DBNAME).exists()
    others = sorted(name for name in names if not name.startswith(_STORE_NAMES))
    if others and not ours:
        raise SetupError(
            f"{folder} holds other things ({', '.join(others[:3])}) and is no page store; set store.path to a folder "
            f"of its own, such as {folder / 'kvproxy'}"
        )


def open_index(folder: Path, disk: type[PageDisk], rescue: Rescue | None = None) -> diskcache.Cache:
    """Open the index of an existing folder; set a damaged one aside whole, and make a new one with ``rescue``'s finds.

    Raises SetupError when the fault is not the file's own: locked by a foreign program, disk full.

    Example: ``open_index(folder / "pages", PageDisk, rescue=lambda cache, index: list_page_files(cache, folder))``
    """
    try:
        return _open(folder, disk)
    except (sqlite3.Error, TypeError, ValueError, AttributeError) as e:
        # Beside sqlite's own errors: diskcache's, from settings rows that it did not write.
        if (getattr(e, "sqlite_errorname", None) or "").startswith(_HARMLESS):
            raise SetupError(f"cannot open the page store {folder}: {e}; free the disk or the file") from e
        aside, why = _set_aside(folder), " ".join(str(e).split())
    try:
        cache = _open(folder, disk)
    except (sqlite3.Error, OSError) as e:
        raise SetupError(f"cannot make an index in the page store {folder}: {e}") from e
    saved = _saved(cache, aside, rescue)
    logger.error("index %s is damaged (%s): set aside in %s, %s", folder / DBNAME, why, aside, saved)
    return cache


def rebuild_index(folder: Path, disk: type[PageDisk], rescue: Rescue) -> str:
    """Set an index aside whole, though it can be opened, and make a new one with ``rescue``'s finds; return a sentence
    about them. For a folder whose lock the caller holds. Raises OSError, sqlite3.Error.

    Example: ``rebuild_index(folder / "pages", PageDisk, lambda cache, index: list_page_files(cache, folder))``
    """
    aside = _set_aside(folder)
    with closing(_open(folder, disk)) as cache:
        saved = rescue(cache, aside / DBNAME)
    logger.error("index %s has rows that no store wrote: set aside in %s, %s", folder / DBNAME, aside, saved)
    return saved


def _saved(cache: diskcache.Cache, aside: Path, rescue: Rescue | None) -> str:
    if rescue is None:
        return "starting empty"
    try:
        return rescue(cache, aside / DBNAME)
    except (sqlite3.Error, OSError) as e:
        cache.close()  # ends the open transaction
        return f"starting empty, since nothing could be recovered: {e}"


def _open(folder: Path, disk: type[PageDisk]) -> diskcache.Cache:
    if (folder / DBNAME).exists():
        log = read_wal(folder / DBNAME)  # before SQLite, which removes it when the last connection ends
        if faults := index_faults(folder):
            raise sqlite3.DatabaseError(faults[0])
        if log.fault is not None:
            logger.error("index %s: the last change is undone: %s", folder / DBNAME, log.fault)
    # cull_limit 0 and policy none: diskcache never drops a page by itself; the store refuses instead.
    return diskcache.Cache(
        str(folder),
        disk=disk,
        eviction_policy="none",
        cull_limit=0,
        size_limit=2**62,
        statistics=0,
        tag_index=0,
        disk_min_file_size=0,
        disk_pickle_protocol=0,
        sqlite_journal_mode="wal",
        sqlite_synchronous=2,
        sqlite_secure_delete=1,  # a rescue finds no deleted row in any page of the file
    )


def index_faults(folder: Path) -> list[str]:
    """Return the damage of the index file; it holds no payloads, so this takes milliseconds.

    The caller has the folder locked. Raises sqlite3.Error for a file that cannot be read.
    """
    fault = file_fault(folder / DBNAME)
    if fault is not None:
        return [fault]
    with closing(sqlite3.connect(folder / DBNAME, timeout=1)) as db:
        return structure_faults(db)


def file_fault(path: Path) -> str | None:
    """Return the damage of an index file and its log that can be seen before SQLite uses them; None without any.

    SQLite begins to use them without the parts that it cannot verify.
    """
    if not path.is_file():
        return "it is no regular file"
    if path.stat().st_size == 0:
        return "the file is empty"
    wal = read_wal(path)
    return wal.fault if wal.hides_commits else None


def structure_faults(db: sqlite3.Connection) -> list[str]:
    """Return SQLite's own findings against a database."""
    rows = [str(row[0]) for row in db.execute("PRAGMA quick_check")]
    return [] if rows == ["ok"] else rows


def _set_aside(folder: Path) -> Path:
    """Move the index and its log into a folder of their own.

    Page files stay in place: those that no new index lists are swept.
    """
    aside = folder / f"{ASIDE}{time.time_ns()}"
    aside.mkdir(mode=0o700)
    for path in folder.glob(f"{DBNAME}*"):
        path.rename(aside / path.name)
    return aside


def page_files(folder: Path, *, own: bool = False) -> Iterator[str]:
    """Yield the paths below ``folder`` of all files but the index; with ``own`` only names that a PageDisk gives."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name.startswith((DBNAME, ASIDE)) or not path.is_file():
            continue
        if not own or _OWN_FILE.fullmatch(name):
            yield name
