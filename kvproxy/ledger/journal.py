"""`Journal`: files in which a process notes what was settled until it is booked. They outlive the process."""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kvproxy.ledger.journal_records import read_journal

SEGMENT_BYTES = 2**20
RECORD_ROOM = 4096
"""Bytes kept free for each request that is running; a record with a dozen documents has less."""

MOST_SEGMENTS = 64
"""Files of one process: what piles up while the database is away. Above it no new priced request begins."""

_LOCK = ".lock"
_JOURNAL = ".journal"


@dataclass(slots=True)
class JournalFile:
    """One file, of fixed size and allocated in advance: a full disk cannot stop a record of a running request.

    It is written through its memory: no system call, so that the event loop neither waits for the disk nor gives the
    interpreter away to the writer in between. The kernel keeps what was written however the process ends.
    """

    path: Path
    memory: mmap.mmap
    size: int
    end: int = 0
    unbooked: int = 0

    @property
    def room(self) -> int:
        """The number of records that are sure to fit."""
        return (self.size - self.end) // RECORD_ROOM


@dataclass(slots=True)
class Journal:
    """The journal of this process. Safe from several threads; only :meth:`prepare` waits for the disk."""

    folder: Path
    process: str
    _files: list[JournalFile] = field(default_factory=list)
    """The files in order; the last ones are empty spares."""
    _at: int = 0
    """Index of the file that is written to."""
    _made: int = 0
    _reserved: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self) -> bool:
        """Keep room for one record; False when :meth:`prepare` has to make some first."""
        with self._lock:
            if self._room() <= self._reserved:
                return False
            self._reserved += 1
            return True

    def unreserve(self) -> None:
        """Give back what :meth:`reserve` kept."""
        with self._lock:
            self._reserved -= 1

    def _room(self) -> int:
        return sum(file.room for file in self._files[self._at :])

    def prepare(self) -> bool:
        """Make the files that the reserved records, and as many again, need. Raises OSError.

        Returns False when there are as many files as there may be.
        """
        with self._lock:
            wanted = max(2 * (self._reserved + 1), SEGMENT_BYTES // RECORD_ROOM)
            lacking = wanted - self._room()
            full = len(self._files) >= MOST_SEGMENTS
        if lacking <= 0:
            return True
        if full:
            return False
        made = self._make(SEGMENT_BYTES)
        with self._lock:
            self._files.append(made)
        return True

    def _make(self, size: int) -> JournalFile:
        self._made += 1
        path = self.folder / f"{self.process}.{self._made:06d}{_JOURNAL}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
            return JournalFile(path, mmap.mmap(fd, size), size)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    def append(self, record: bytes) -> JournalFile:
        """Write a record: in the kernel's memory when this returns, where the end of the process cannot reach it.

        Raises OSError only for a record without a reserved place, for which a file has to be made.
        """
        with self._lock:
            file = self._with_room(len(record))
            file.memory[file.end : file.end + len(record)] = record
            file.end += len(record)
            file.unbooked += 1
            return file

    def _with_room(self, size: int) -> JournalFile:
        for place in range(self._at, len(self._files)):
            if self._files[place].end + size <= self._files[place].size:
                self._at = place
                return self._files[place]
        self._files.append(self._make(max(size, SEGMENT_BYTES)))
        self._at = len(self._files) - 1
        return self._files[-1]

    def booked(self, file: JournalFile) -> None:
        """Note that one record of ``file`` is booked; a full file of which all are is removed."""
        with self._lock:
            file.unbooked -= 1
            if file.unbooked or file not in self._files or self._files.index(file) >= self._at:
                return
            self._files.remove(file)
            self._at -= 1
        _remove(file)

    def sync(self) -> None:
        """Force what is not booked to the disk: called while the database is away, so for long."""
        with self._lock:
            files = [file for file in self._files if file.unbooked]
        for file in files:
            file.memory.flush()

    def close(self) -> None:
        """Close the files; those without an unbooked record are removed. Idempotent."""
        with self._lock:
            files, self._files, self._at = self._files, [], 0
        for file in files:
            if not file.unbooked:
                file.path.unlink(missing_ok=True)
            file.memory.close()


def _remove(file: JournalFile) -> None:
    file.path.unlink(missing_ok=True)
    file.memory.close()


class ProcessLock:
    """The lock of a process's journals. The kernel lets go of it however the process ends, and no sooner."""

    def __init__(self, folder: Path, process: str) -> None:
        """Take the lock of a new process. Its file appears locked, so that no starter can take it for a dead one's."""
        self.path = folder / f"{process}{_LOCK}"
        early = folder / f"{process}.new"
        self._fd = os.open(early, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        early.rename(self.path)

    def release(self) -> None:
        """Unlock, and remove the file. Idempotent."""
        if self._fd >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1

    def forsake(self) -> None:
        """Unlock and leave the file: journals are left that the next start has to book. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextmanager
def lock_of_dead(folder: Path, process: str) -> Iterator[bool]:
    """Hold the lock of a process that has ended; False when it runs, or another one is clearing up after it.

    Example:
        ``with lock_of_dead(folder, process) as ours: ...``
    """
    try:
        fd = os.open(folder / f"{process}{_LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        yield True  # the folder is gone, and its journals with it
        return
    try:
        yield _locked(fd)
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_files_of(folder: Path, process: str) -> None:
    """Remove a dead process's journals, then its lock file. The caller holds the lock, and has booked all.

    A damaged journal is kept under another name, for people.

    Example:
        ``remove_files_of(folder, process)``
    """
    for path in journal_files(folder, process):
        if read_journal(path.read_bytes()).damaged:
            path.rename(path.with_suffix(".damaged"))
        else:
            path.unlink(missing_ok=True)
    (folder / f"{process}{_LOCK}").unlink(missing_ok=True)


def processes_in(folder: Path) -> list[str]:
    """Return the processes that have a lock file or a journal in ``folder``."""
    locked = {path.name.removesuffix(_LOCK) for path in folder.glob(f"*{_LOCK}")}
    return sorted(locked | {path.name.partition(".")[0] for path in folder.glob(f"*{_JOURNAL}")})


def journal_files(folder: Path, process: str) -> list[Path]:
    """Return the journals of one process in the order in which they were written.

    Example:
        ``for path in journal_files(folder, process): read_journal(path.read_bytes())``
    """
    return sorted(folder.glob(f"{process}.*{_JOURNAL}"))
