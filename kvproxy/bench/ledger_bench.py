"""`bench_ledger`: what the ledger costs a request on the event loop, and how many rows a second it books."""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

import kvproxy.database.tables  # noqa: F401 - registers the tables
from kvproxy.core.callers import Caller
from kvproxy.core.charges import Charge, DocumentCharge, DocumentTokens, MeteredTokens
from kvproxy.core.money import NANO
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.ledger.bookings import Booking, HoldRequest
from kvproxy.ledger.ledger import Ledger, unix_ms
from kvproxy.ledger.ledger_check import check

AIM_US = 200.0
"""Microseconds that a request may take on the event loop, as the median."""


def bench_ledger(
    folder: Path, *, requests: int = 5000, rate: float = 500.0, postgres: str | None = None
) -> dict[str, Any]:
    """Measure on SQLite in ``folder``, and on the PostgreSQL of a URL, in a schema of its own that is dropped.

    Example:
        ``bench_ledger(Path("/tmp/ledger"), requests=1000)``
    """
    result: dict[str, Any] = {"requests": requests, "rate": rate, "aim_us": AIM_US}
    with Database.open(None, folder) as database:
        result["sqlite"] = _measure(database, folder / "sqlite", requests, rate)
    if postgres is not None:
        result["postgresql"] = _measure_postgres(postgres, folder / "postgresql", requests, rate)
    measured = [result[name] for name in ("sqlite", "postgresql") if name in result]
    result["ok"] = all(one["paced"]["p50_us"] <= AIM_US and one["faults"] == 0 for one in measured)
    return result


def _measure_postgres(url: str, folder: Path, requests: int, rate: float) -> dict[str, Any]:
    schema = f"bench_{uuid.uuid4().hex[:12]}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as db:
            db.execute(text(f"CREATE SCHEMA {schema}"))
        own = make_url(url).update_query_dict({"options": f"-csearch_path={schema}"})
        with Database(own) as database:
            return _measure(database, folder, requests, rate)
    finally:
        with engine.connect() as db:
            db.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        engine.dispose()


def _measure(database: Database, folder: Path, requests: int, rate: float) -> dict[str, Any]:
    METADATA.create_all(database.engine)
    folder.mkdir(parents=True, exist_ok=True)
    result = asyncio.run(_run(database, folder, requests, rate))
    began = time.perf_counter()
    result["faults"] = len(check(database))
    result["rows_checked_per_s"] = round(result["rows"] / (time.perf_counter() - began))
    return result


async def _run(database: Database, folder: Path, requests: int, rate: float) -> dict[str, Any]:
    async with Ledger.open(database, folder) as ledger:
        await ledger.credit("reader", 1000 * NANO, "admin", id="bench")
        await _requests(ledger, "warm", 200, rate)
        paced = await _requests(ledger, "paced", requests, rate)
        await ledger.booked()
        began = time.perf_counter()
        full = await _requests(ledger, "full", requests, None)
        settled_s = time.perf_counter() - began
        await ledger.booked()
        booked_s = time.perf_counter() - began
    return {
        "paced": paced,
        "at_once": full,
        "settled_per_s": round(requests / settled_s),
        "rows_per_s": round(requests / booked_s),
        "rows": 2 * requests + 201,
    }


async def _requests(ledger: Ledger, name: str, requests: int, rate: float | None) -> dict[str, float]:
    """Hold and settle requests one after the other, at a rate or as fast as it goes; return quantiles of the cost."""
    caller = Caller("reader", "tenant:reader", key="key")
    bookings = [_booking(f"{name}-{number}") for number in range(requests)]
    times: list[float] = []
    gc.collect()
    start = time.perf_counter()
    for number, booking in enumerate(bookings):
        if rate is not None:
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        began = time.perf_counter()
        hold = await ledger.hold(HoldRequest(booking.request_id, caller, 1_000_000, 4000))
        hold.settle(booking)
        times.append(time.perf_counter() - began)
    times.sort()
    return {
        "p50_us": round(times[len(times) // 2] * 1e6, 1),
        "p99_us": round(times[len(times) * 99 // 100] * 1e6, 1),
    }


def _booking(id: str) -> Booking:
    read = DocumentTokens("handbook@3", "e" * 64, "publisher", 3700, "t" * 64)
    charge = Charge("USD", 400_000, 900_000, 250_000, (DocumentCharge(read, 300_000, 150_000),), "t" * 64)
    return Booking(
        request_id=f"chatcmpl-{id}",
        at_ms=unix_ms(),
        tenant="reader",
        key="key",
        metered=MeteredTokens("qwen3-4b", 3774, 3700, 200, (read,)),
        charge=charge,
        seconds_saved_us=900_000,
        fingerprint="f" * 64,
    )


def print_ledger(result: dict[str, Any]) -> None:
    """Print the table of ``kvproxy bench ledger``."""
    from rich.table import Table

    from kvproxy.terminal.tables import console

    table = Table("database")
    for name in (
        "hold + settle p50, µs",
        "p99, µs",
        "at once p50, µs",
        "p99, µs",
        "rows/s booked",
        "rows/s checked",
    ):
        table.add_column(name, justify="right")
    for name in ("sqlite", "postgresql"):
        if (one := result.get(name)) is not None:
            cells = [one["paced"]["p50_us"], one["paced"]["p99_us"], one["at_once"]["p50_us"]]
            cells += [one["at_once"]["p99_us"], one["rows_per_s"], one["rows_checked_per_s"]]
            table.add_row(name, *(f"{cell:,}" for cell in cells))
    console().print(table)
