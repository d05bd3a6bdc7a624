"""`read_backlog`: what a folder of journals holds, for people who look at a ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kvproxy.ledger.journal import journal_files, processes_in
from kvproxy.ledger.journal_records import read_journal
from kvproxy.ledger.refused_bookings import REFUSED_FILE, count_refused


@dataclass(frozen=True, slots=True)
class JournalBacklog:
    """Records that lie in files, booked or not."""

    waiting: int
    refused: int
    refused_file: Path


def read_backlog(folder: Path) -> JournalBacklog:
    """Count the records of all journals in ``folder``, and the refused ones."""
    files = [path for process in processes_in(folder) for path in journal_files(folder, process)]
    waiting = sum(len(read_journal(path.read_bytes()).bookings) for path in files if path.exists())
    return JournalBacklog(waiting, count_refused(folder), folder / REFUSED_FILE)
