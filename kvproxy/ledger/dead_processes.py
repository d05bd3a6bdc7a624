"""`bury`: book the journals of processes that have ended, then give their leases back. In this order: what they had
settled is still a part of their leases."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kvproxy.database.database import Database
from kvproxy.ledger.batch_booking import OnBooked, book_or_set_aside
from kvproxy.ledger.booking_sql import MOST_BATCH, lock_head
from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.journal import journal_files, lock_of_dead, processes_in, remove_files_of
from kvproxy.ledger.journal_records import read_journal
from kvproxy.ledger.lease_sql import RegisteredProcess, all_processes, remove_process

logger = logging.getLogger(__name__)


def this_host() -> str:
    """Return a name of this start of this machine, as its processes see it: two containers have two."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts += [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "mnt")]
    except OSError:  # no Linux: the name alone
        pass
    return " ".join(parts)


def bury(database: Database, folder: Path, process: str, on_booked: OnBooked | None = None) -> bool:
    """Clear up after ``process``, whose journals lie in ``folder``. False when it is alive, or is being buried.

    Example:
        ``bury(database, folder, process)``
    """
    with lock_of_dead(folder, process) as ours:
        if not ours:
            return False
        booked = 0
        for path in journal_files(folder, process):
            content = read_journal(path.read_bytes())
            if content.damaged:
                logger.error("ledger: %d records of %s are damaged; it is kept", content.damaged, path)
            for part in _parts(content.bookings):
                batch = book_or_set_aside(database, process, part, folder=folder, on_booked=on_booked)
                booked += len(batch.first)
        with database.transaction() as db:
            lock_head(db)
            remove_process(db, process)
        remove_files_of(folder, process)
    if booked:
        logger.warning(
            "ledger: booked %d requests that process %s had settled before it ended", booked, process
        )
    return True


def _parts(bookings: tuple[Booking, ...]) -> Iterator[tuple[Booking, ...]]:
    for start in range(0, len(bookings), MOST_BATCH):
        yield bookings[start : start + MOST_BATCH]


@dataclass(slots=True)
class Undertaker:
    """Finds the processes that have ended: by their lock on this machine, elsewhere by a beat that stands still."""

    database: Database
    folder: Path
    process: str
    dead_s: float
    on_booked: OnBooked | None = None
    _beats: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By process: its last beat, and when this process saw it first, by its own clock."""

    def own_folder(self) -> None:
        """Clear up after the processes whose journals lie in this folder."""
        for process in processes_in(self.folder):
            if process != self.process:
                bury(self.database, self.folder, process, self.on_booked)

    def registered(self) -> None:
        """Clear up after registered processes: of this machine, and of others that have not beaten for ``dead_s``.

        The journals of another machine cannot be reached: what it settled is booked at its next start, and may take a
        balance below its credit then. Its leases must not bind a balance for ever.
        """
        with self.database.snapshot() as db:
            processes = all_processes(db)
        seen, host = {}, this_host()
        for other in processes:
            if other.id == self.process:
                continue
            if other.host == host:
                bury(self.database, Path(other.folder), other.id, self.on_booked)
                continue
            seen[other.id] = self._seen(other)
            if time.monotonic() - seen[other.id][1] > self.dead_s:
                logger.warning("ledger: process %s on another machine is silent: its leases end", other.id)
                with self.database.transaction() as db:
                    lock_head(db)
                    remove_process(db, other.id)
        self._beats = seen

    def _seen(self, other: RegisteredProcess) -> tuple[int, float]:
        beat, since = self._beats.get(other.id, (-1, 0.0))
        return (beat, since) if beat == other.beat else (other.beat, time.monotonic())
