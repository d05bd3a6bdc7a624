"""`export_rows`: the ledger's rows in a file, as CSV, JSON or Parquet, in bounded memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from kvproxy.database.database import Database
from kvproxy.errors import SetupError
from kvproxy.ledger.bookings import LedgerRow
from kvproxy.ledger.ledger_reading import MOST_ROWS, RowQuery, read_rows

ExportFormat = Literal["csv", "json", "parquet"]

WHOLE = ("seq", "at_ms", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_nano", "cold_cost_nano")
"""Columns of whole numbers; ``saved_us`` is one too, the others are text."""


def export_rows(
    database: Database,
    file: Path,
    format: ExportFormat,
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> int:
    """Write the rows of a time to ``file``; return how many. Raises SetupError.

    A row of CSV and Parquet has its documents and entries as JSON; JSON has the canonical bodies with their hashes.

    Example:
        ``export_rows(database, Path("ledger.csv"), "csv")``
    """
    pages = _pages(database, since_ms, until_ms)
    try:
        if format == "csv":
            return _write_csv(pages, file)
        return _write_json(pages, file) if format == "json" else _write_parquet(pages, file)
    except OSError as e:
        raise SetupError(f"cannot write {file}: {e.strerror or e}") from e


def _pages(database: Database, since_ms: int | None, until_ms: int | None) -> Iterator[list[LedgerRow]]:
    after = 0
    with database.snapshot() as db:
        while rows := read_rows(
            db, RowQuery(since_ms=since_ms, until_ms=until_ms, after=after, limit=MOST_ROWS)
        ):
            yield rows
            after = rows[-1].seq


def flat_row(row: LedgerRow) -> dict[str, Any]:
    """Return a row's columns as CSV and Parquet have them."""
    return {
        "seq": row.seq,
        "id": row.id,
        "kind": row.kind,
        "at_ms": row.at_ms,
        "reader": row.reader,
        "key": row.key or "",
        "model": row.model,
        "prompt_tokens": row.metered.prompt_tokens,
        "cached_tokens": row.metered.cached_tokens,
        "completion_tokens": row.metered.completion_tokens,
        "cost_nano": row.charge.cost,
        "cold_cost_nano": row.charge.cold_cost,
        "currency": row.charge.currency,
        "saved_us": row.seconds_saved_us,
        "tariff": row.tariff,
        "outcome": row.outcome,
        "documents": json.dumps(
            [
                [d.read.document, d.read.publisher, d.read.tokens, d.price, d.publisher_share]
                for d in row.charge.documents
            ]
        ),
        "entries": json.dumps([[entry.account, entry.nano] for entry in row.entries]),
        "reference": row.reference,
        "refunds": row.refunds or "",
        "settled_by": row.settled_by or "",
        "fingerprint": row.fingerprint,
        "previous": row.previous,
        "hash": row.hash,
    }


def _write_csv(pages: Iterator[list[LedgerRow]], file: Path) -> int:
    written = 0
    with file.open("w", encoding="utf-8", newline="") as out:
        writer: csv.DictWriter[str] | None = None
        for rows in pages:
            for flat in map(flat_row, rows):
                if writer is None:
                    writer = csv.DictWriter(out, flat)
                    writer.writeheader()
                writer.writerow({name: _harmless(value) for name, value in flat.items()})
                written += 1
    return written


def _harmless(value: Any) -> Any:
    """Keep a spreadsheet from running a text of a client as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def _write_json(pages: Iterator[list[LedgerRow]], file: Path) -> int:
    written = 0
    with file.open("w", encoding="utf-8") as out:
        out.write("[")
        for rows in pages:
            for row in rows:
                body = f'{{"body":{row.body},"hash":"{row.hash}","previous":"{row.previous}"}}'
                out.write(("," if written else "") + "\n" + body)
                written += 1
        out.write("\n]\n")
    return written


def _write_parquet(pages: Iterator[list[LedgerRow]], file: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as e:
        raise SetupError("Parquet needs pyarrow: pip install 'kvproxy[parquet]', or export CSV") from e
    written, writer = 0, None
    try:
        for rows in pages:
            flats = [flat_row(row) for row in rows]
            whole = {*WHOLE, "saved_us"}
            schema = pa.schema([(name, pa.int64() if name in whole else pa.string()) for name in flats[0]])
            if writer is None:
                writer = pq.ParquetWriter(file, schema)
            writer.write_table(pa.Table.from_pylist(flats, schema=schema))
            written += len(rows)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise SetupError("the ledger has no rows in this time; a Parquet file needs one")
    return written
