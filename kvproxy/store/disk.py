"""`PageDisk`: diskcache without pickle, and with page files that are durable before their row is.

diskcache unpickles keys with a ``raw`` column of 0 and values with a pickle ``mode``, without a proof of their origin
(CVE-2025-69872). Its ``JSONDisk`` still hands such rows to the base class: the hole stays open.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW

_PAGE_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2,}\.page")
_INT64 = range(-(2**63), 2**63)


class PickleRefused(Exception):
    """A row asks for its value to be unpickled, or a caller for one to be pickled."""


@dataclass(frozen=True, slots=True)
class RefusedKey:
    """A pickled key found in the database: its bytes as they stand, so that the row can be deleted."""

    pickled: bytes


@dataclass(frozen=True, slots=True)
class PageBuffers:
    """A value for :meth:`PageDisk.store`: the buffers are written one after the other, none is copied."""

    buffers: tuple[bytes | memoryview, ...]

    @property
    def bytes(self) -> int:
        """Size of all buffers."""
        return sum(len(b) for b in self.buffers)


@dataclass(frozen=True, slots=True)
class PresentFile:
    """A value for :meth:`PageDisk.store`: the page's file, of this many bytes, is in its place already."""

    bytes: int


class PageDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache ships no types, so its base class is Any
    """A ``diskcache.Disk`` for bytes, str, int and float keys, values of those kinds in the row, and page files.

    A page file is named after its key, so a file without a row needs no guess: it is the rest of a killed write. It is
    complete and fsynced under that name before the row that shows it exists.
    """

    def put(self, key: Any) -> tuple[Any, bool]:
        """Return the database form of a key, and whether it is raw. Raises PickleRefused."""
        if isinstance(key, RefusedKey):
            return sqlite3.Binary(key.pickled), False
        _admit(key)
        return (sqlite3.Binary(key) if type(key) is bytes else key), True

    def get(self, key: Any, raw: bool) -> Any:
        """Return the key of a row; a pickled one as RefusedKey."""
        if not raw:
            return RefusedKey(bytes(key) if isinstance(key, bytes | memoryview) else str(key).encode())
        return bytes(key) if isinstance(key, memoryview) else key

    def store(self, value: Any, read: bool, key: Any = diskcache.UNKNOWN) -> tuple[int, int, str | None, Any]:
        """Write a value; return its size, mode, file name and column value. Raises PickleRefused.

        Example: ``disk.store(PageBuffers((header, payload)), read=False, key=key)``
        """
        if isinstance(value, PageBuffers):
            name = page_name(key)
            self.write(self.folder / name, value)
            return value.bytes, MODE_BINARY, name, None
        if isinstance(value, PresentFile):
            return value.bytes, MODE_BINARY, page_name(key), None
        _admit(value)
        return 0, MODE_RAW, None, (sqlite3.Binary(value) if type(value) is bytes else value)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        """Read a value back. Raises PickleRefused for a row that this class did not write.

        A page comes back as an open unbuffered file, for any ``read``; other values as they are.

        Example: ``disk.fetch(MODE_BINARY, page_name(key), None, read=True)``
        """
        if mode == MODE_RAW:
            return bytes(value) if isinstance(value, memoryview) else value
        # A name that this class did not make could lead out of the folder.
        if mode == MODE_BINARY and filename is not None and _PAGE_NAME.fullmatch(filename):
            return FileIO(self.folder / filename)
        raise PickleRefused(f"a row of mode {mode} with file {filename!r} was not written by this store")

    def remove(self, file_path: str) -> None:
        """Delete a page file; a missing one is passed over."""
        if _PAGE_NAME.fullmatch(file_path):
            with contextlib.suppress(FileNotFoundError):
                (self.folder / file_path).unlink()

    @property
    def folder(self) -> Path:
        """Folder of the cache."""
        return Path(self._directory)

    def write(self, path: Path, page: PageBuffers) -> None:
        """Write a page file and fsync it and its directory entries.

        Leaves nothing behind on an error.
        """
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _sync_directory(self.folder)
        part = path.with_suffix(".part")
        try:
            with FileIO(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                self.fill(file, page)
                os.fsync(file.fileno())
            part.replace(path)
            _sync_directory(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise

    def fill(self, file: FileIO, page: PageBuffers) -> None:
        """Write the buffers to an empty file. A method of its own: tests put a full disk or a kill here."""
        for buffer in page.buffers:
            rest = memoryview(buffer)
            while rest:
                rest = rest[file.write(rest) :]


def page_name(key: bytes) -> str:
    """Return the path of a page's file below the folder of the cache."""
    name = key.hex()
    return f"{name[:2]}/{name[2:]}.page"


def _admit(value: Any) -> None:
    if type(value) not in (bytes, str, int, float) or (type(value) is int and value not in _INT64):
        raise PickleRefused(f"{type(value).__name__} would have to be pickled")


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
