"""Recovery from a damaged index: pages by their own files, records by their seals."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import diskcache

from kvproxy.store import page_file
from kvproxy.store.disk import PresentFile, page_name
from kvproxy.store.page_record import PageRecord
from kvproxy.store.sealed_record import unseal
from kvproxy.store.sqlite.sqlite_pages import read_image
from kvproxy.store.sqlite.sqlite_rows import Value, table_rows
from kvproxy.store.store_folder import page_files

_COLUMNS = 12
"""Columns of diskcache's table.

rowid, key, raw, store, expire and access time, access count, tag, size, mode, file, value.
"""


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A record with a sound seal. ``stored`` and ``expires`` in Unix seconds are not under it."""

    key: str
    value: bytes
    stored: float
    expires: float | None


def list_page_files(cache: diskcache.Cache, folder: Path) -> str:
    """List every page file with a sound header that names it, and say in a sentence how many.

    Its payload is verified whenever it is read. Raises sqlite3.Error.
    """
    found = 0
    with cache.transact():
        for name in sorted(page_files(folder, own=True)):
            key = _key_of(name)
            if key is None:
                continue
            with suppress(OSError), FileIO(folder / name) as file:
                record = page_file.read_record(file)
                if isinstance(record, PageRecord) and record.key == key:
                    cache.set(key, PresentFile(os.fstat(file.fileno()).st_size))
                    found += 1
    return f"{found} pages listed again by their files"


def copy_sealed_records(cache: diskcache.Cache, index: Path, ttl_s: float) -> str:
    """Copy the records with sound seals from a damaged index to a new one, for at most ``ttl_s`` seconds more.

    Return a sentence about the result. Raises OSError, sqlite3.Error.

    Example: ``copy_sealed_records(cache, folder / "broken-1" / "cache.db", ttl_s=86_400)``
    """
    newest: dict[str, SealedRow] = {}
    unsound: set[str] = set()
    for row in table_rows(read_image(index)):
        if len(row) != _COLUMNS or not isinstance(row[1], str) or "\n" not in row[1]:
            continue
        sealed = _sealed_row(row[1], row)
        if sealed is None:
            unsound.add(row[1])
        elif sealed.key not in newest or newest[sealed.key].stored < sealed.stored:
            newest[sealed.key] = sealed
    now = time.time()
    kept = 0
    with cache.transact():
        for record in sorted(newest.values(), key=lambda r: r.stored):
            left = ttl_s if record.expires is None else min(ttl_s, record.expires - now)
            if left > 0:
                cache.set(record.key, record.value, expire=left)
                kept += 1
    lost = len(unsound - newest.keys())
    return f"{kept} stored responses recovered" + (f", {lost} that are damaged left behind" if lost else "")


def _sealed_row(key: str, row: tuple[Value, ...]) -> SealedRow | None:
    value, stored, expires = row[11], row[3], row[4]
    if not isinstance(value, bytes) or unseal(key, value) is None:
        return None
    time_of = float(stored) if isinstance(stored, int | float) else 0.0
    return SealedRow(key, value, time_of, float(expires) if isinstance(expires, int | float) else None)


def _key_of(name: str) -> bytes | None:
    """Return the page key that a file's name says; None for the rest of a killed write."""
    if not name.endswith(".page"):
        return None
    try:
        key = bytes.fromhex(name.removesuffix(".page").replace("/", ""))
    except ValueError:
        return None
    return key if page_name(key) == name else None
