"""Read-only connections to a database file that leave nothing behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def read_only(path: Path) -> sqlite3.Connection:
    """Open an existing file, which another process may have open. Raises sqlite3.Error.

    SQLite would leave an empty write-ahead log and its index beside a file that had none; so a file without a log is
    opened as one that no process changes.
    """
    log = path.with_name(f"{path.name}-wal")
    alone = not log.exists() or log.stat().st_size == 0
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}", uri=True, timeout=5
    )
