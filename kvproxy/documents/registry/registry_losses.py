"""Damaged rows of the registry: found, written into a folder beside the store, with a report, and then deleted."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table

from kvproxy.documents.registry.registry_rows import Row, describe_loss

logger = logging.getLogger(__name__)

REPORT = "report.txt"
_ROWS = "rows.jsonl"
PATTERNS = ("documents.damaged-*", "documents.sqlite3.damaged-*", "kvproxy.sqlite3.damaged-*")
"""Folders in the store with what was set aside: rows, old registries' files, and databases."""


@dataclass(frozen=True, slots=True)
class LostRow:
    """A row that must not be used, with the reason."""

    table: Table
    row: Row
    reason: str

    def __str__(self) -> str:
        return describe_loss(self.table, self.row, self.reason)


def set_rows_aside(folder: Path, lost: Sequence[LostRow]) -> Path:
    """Write damaged rows as they were found into a new folder in the store, with a line for each in ``report.txt``;
    log the lines. Raises OSError.

    Example:
        ``aside = set_rows_aside(store, [LostRow(DOCUMENTS, row, DAMAGED)])``
    """
    lines = sorted({str(row) for row in lost})
    aside = file_set_aside(folder / "documents", lines)
    with (aside / _ROWS).open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(_plain(row))}\n" for row in lost)
    (aside / _ROWS).chmod(0o600)
    logger.error("document registry: %d damaged rows are lost; set aside in %s", len(lost), aside)
    for line in lines:
        logger.error("document registry: %s", line)
    return aside


def file_set_aside(path: Path, report: Sequence[str]) -> Path:
    """Make the folder beside ``path`` that is to hold what was damaged, with its report. Raises OSError.

    Example:
        ``aside = file_set_aside(store / "kvproxy.sqlite3", ["the file is empty"])``
    """
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    aside.mkdir(mode=0o700)
    (aside / REPORT).write_text("".join(f"{line}\n" for line in report), encoding="utf-8")
    return aside


def set_aside_in(folder: Path) -> list[Path]:
    """Return the folders of what was set aside in a store."""
    return [aside for pattern in PATTERNS for aside in sorted(folder.glob(pattern))]


def damage_reports(folder: Path) -> list[str]:
    """Return the reports of all that was set aside in a store, a line for each loss.

    Until such a folder is removed, pages that belong to no document are kept, because restoring what it holds would
    need them.
    """
    lines = []
    for aside in set_aside_in(folder):
        try:
            report = (aside / REPORT).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            report = ["its report cannot be read"]
        lines += [f"{aside.name}: {line}" for line in report]
    return lines


def _plain(lost: LostRow) -> dict[str, object]:
    """Return a row as JSON can hold it: bytes as hexadecimal digits, text that is no UTF-8 with escapes."""
    values = {k: v.hex() if isinstance(v, bytes) else v for k, v in lost.row.items()}
    return {"table": lost.table.name, "reason": lost.reason, "row": values}
