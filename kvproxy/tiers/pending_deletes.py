"""`PendingDeletes`: pages that must still be deleted from the object store, in a small file that outlives a kill."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

FILE = "objects-deletes"
_LINE = 66
"""Bytes of a line: a sign, a key in hex, a line end. A line that was cut short by a kill is passed over."""


class PendingDeletes:
    """Keys in a file of signed lines: ``-`` adds one, ``+`` takes it back. Any thread.

    A delete that was answered is on the medium, so that a document's pages leave the object store however often the
    proxy is killed before it could ask for it.

    Example:
        ``deletes = PendingDeletes(folder / FILE); deletes.add([key]); deletes.done([key])``
    """

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one. Raises OSError."""
        self._path = path
        self._lock = threading.Lock()
        self._keys = _read(path)
        self._lines = len(self._keys)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    @property
    def keys(self) -> Collection[bytes]:
        """Return the keys that wait."""
        with self._lock:
            return tuple(self._keys)

    def add(self, keys: Iterable[bytes]) -> None:
        """Add keys; they are on the medium when this returns. Raises OSError."""
        with self._lock:
            new = [key for key in dict.fromkeys(keys) if key not in self._keys]
            self._append("-", new)
            self._keys.update(dict.fromkeys(new))

    def done(self, keys: Iterable[bytes]) -> None:
        """Take keys back: they are deleted, or wanted again. Where that cannot be written, a later start deletes them
        once more; a page that is wanted then is there in a local file, and written again."""
        with self._lock:
            gone = [key for key in keys if self._keys.pop(key, False) is None]
            try:
                if not self._keys:
                    self._path.unlink(missing_ok=True)
                    self._lines = 0
                else:
                    self._append("+", gone)
            except OSError as e:
                logger.warning("%s cannot be written: %s", self._path, e.strerror)

    def _append(self, sign: str, keys: Collection[bytes]) -> None:
        if not keys:
            return
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            data = memoryview("".join(f"{sign}{key.hex()}\n" for key in keys).encode())
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)


def _read(path: Path) -> dict[bytes, None]:
    keys: dict[bytes, None] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return keys
    for line in lines:
        try:
            key = bytes.fromhex(line[1:].decode("ascii"))
        except ValueError:
            continue
        if len(line) != _LINE - 1:
            continue
        if line.startswith(b"-"):
            keys[key] = None
        else:
            keys.pop(key, None)
    return keys
