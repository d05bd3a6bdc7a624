"""Inspection of pages and stored responses without their lock: another process may use them, and nothing changes."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from diskcache.core import DBNAME

from kvproxy.store import page_file
from kvproxy.store.disk import page_name
from kvproxy.store.page_record import PageRecord, Torn
from kvproxy.store.sealed_record import unseal
from kvproxy.store.sqlite.sqlite_read_only import read_only
from kvproxy.store.store_folder import file_fault, structure_faults
from kvproxy.store.stored_responses import SEALED


@dataclass(frozen=True, slots=True)
class Inspected:
    """The result of an inspection: ``verified`` of ``count`` entries were read whole."""

    faults: tuple[str, ...]
    count: int = 0
    verified: int = 0
    bad: Mapping[str, bytes] = field(default_factory=dict)
    """The key of the page that each fault of a file is about."""
    listed: frozenset[bytes] = frozenset()
    """Keys of all pages that the index lists."""


def inspect_pages(
    folder: Path, most: int | None, seen: Callable[[PageRecord], object] = lambda record: None
) -> Inspected:
    """Check every row, and the files of a random choice of them, up to ``most`` bytes; None: all files.

    ``seen`` gets the header of each sound page. Raises OSError, sqlite3.Error.

    Example: ``inspect_pages(store / "pages", 2 * 2**30)``
    """
    with _index(folder) as (db, faults):
        if db is None:
            return Inspected(faults)
        found = []
        keys = []
        for key, raw, name in db.execute("SELECT key, raw, filename FROM Cache"):
            if isinstance(key, bytes) and raw == 1 and len(key) == 32 and name == page_name(key):
                keys.append(key)
            else:
                found.append(f"row {key!r:.80} is no page of this store")
        random.Random(0).shuffle(keys)
        verified, bad = 0, dict[str, bytes]()
        for key in keys:
            record = _page(folder / page_name(key), key)
            if isinstance(record, PageRecord):
                verified += 1
                seen(record)
            elif db.execute("SELECT 1 FROM Cache WHERE key = ? AND raw = 1", (key,)).fetchone():
                found.append(f"page {key.hex()[:16]}: {record}")  # else it was deleted meanwhile
                bad[found[-1]] = key
            if most is not None:
                most -= _size(folder / page_name(key))
                if most < 0:
                    break
        return Inspected((*faults, *found), len(keys), verified, bad, frozenset(keys))


def inspect_responses(folder: Path) -> Inspected:
    """Check every record. Raises OSError, sqlite3.Error."""
    with _index(folder) as (db, faults):
        if db is None:
            return Inspected(faults)
        if db.execute("PRAGMA user_version").fetchone() != (SEALED,):
            return Inspected(faults, *db.execute("SELECT count(*), 0 FROM Cache").fetchone())
        found, count = [], 0
        for key, value in db.execute("SELECT key, value FROM Cache"):
            count += 1
            if not isinstance(key, str) or "\n" not in key:
                found.append(f"a key that this store did not write: {key!r:.80}")
            elif unseal(key, value) is None:
                id = key.partition("\n")[2]
                found.append(f"response {id[:80]} is damaged")
        return Inspected((*faults, *found), count, count - len(found))


@contextmanager
def _index(folder: Path) -> Iterator[tuple[sqlite3.Connection | None, tuple[str, ...]]]:
    """Open the index as it stands, and list its faults; None where its rows cannot be trusted to be read."""
    path = folder / DBNAME
    if not path.exists():
        yield None, ()
        return
    fault = file_fault(path)
    if fault is not None:
        yield None, (f"index: {fault}",)
        return
    with closing(read_only(path)) as db:
        try:
            faults = structure_faults(db)
            db.execute("SELECT rowid, key, raw, mode, filename, value FROM Cache LIMIT 1").fetchall()
        except sqlite3.Error as e:
            if getattr(e, "sqlite_errorname", "") in ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN"):
                raise
            faults = [str(e)]
        yield (None if faults else db), tuple(f"index: {x}" for x in faults)


def _page(path: Path, key: bytes) -> PageRecord | str:
    """Return the header of a page that was read whole, or the reason why it is not sound."""
    try:
        with FileIO(path) as file:
            record = page_file.read_whole(file)
    except OSError as e:
        return f"its file cannot be opened: {e.strerror}"
    if isinstance(record, Torn):
        return record.reason
    return record if record.key == key else "the file holds another page's key"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
