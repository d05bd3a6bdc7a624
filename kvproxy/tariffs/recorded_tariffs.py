"""`Tariffs`: the history of tariffs in the database, with lookups in memory. What is recorded never changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import rfc8785
from sqlalchemy import Connection, func, insert, select

from kvproxy.database.announcements import ChangeTopic, announce
from kvproxy.database.database import Database
from kvproxy.database.database_away import database_away
from kvproxy.database.tables.tariff_tables import TARIFFS
from kvproxy.tariffs.appended_rows import lock_rows, next_seq
from kvproxy.tariffs.model_tariff import Tariff
from kvproxy.tariffs.tariff_file import TariffFile
from kvproxy.tariffs.tariff_history import TariffHistory, TariffRecord, now_in_ms, plan_file, plan_record
from kvproxy.tariffs.terms_rows import keep_terms

Plan = Callable[[TariffHistory], Sequence[TariffRecord]]


class Tariffs:
    """Tariffs by time and by id. ``at``, ``by_id`` and ``history`` are lookups in memory, safe on the event loop and
    from any thread; the other methods use the database and block."""

    def __init__(self, database: Database, *, in_force: bool = True) -> None:
        """Keep the database. Nothing is read: call ``refresh``.

        ``in_force`` False: the host asks for nothing any more, and ``at`` says so; what was charged by a tariff keeps
        it under its id.
        """
        self._database = database
        self._in_force = in_force
        self._loading = threading.Lock()
        self._history = TariffHistory()

    @property
    def history(self) -> TariffHistory:
        """All that was recorded, as of the last refresh."""
        return self._history

    def at(self, ms: int) -> Tariff | None:
        """Return the tariff that is valid at ``ms``; None before the first one: then requests are free."""
        return self._history.at(ms) if self._in_force else None

    def by_id(self, tariff_id: str) -> Tariff | None:
        """Return a tariff that was recorded at any time; None for an unknown id."""
        return self._history.by_id(tariff_id)

    def record(self, tariff: Tariff, now_ms: int | None = None) -> bool:
        """Record a tariff; False where it is known already. Raises SetupError for one that would begin in the past
        of what is recorded."""
        now = now_in_ms() if now_ms is None else now_ms
        return bool(self._append(lambda history: plan_record(history, tariff, now)))

    def record_file(self, file: TariffFile, now_ms: int | None = None) -> list[TariffRecord]:
        """Record what a tariff file adds to the history, and return it: see ``plan_file``. Raises SetupError."""
        now = now_in_ms() if now_ms is None else now_ms
        return self._append(lambda history: plan_file(history, file, now))

    def refresh(self) -> None:
        """Read what other processes have recorded."""
        with self._database.snapshot() as db:
            if db.execute(select(func.max(TARIFFS.c.seq))).scalar() == len(self._history.records):
                return
            self._load(db)

    def _append(self, plan: Plan) -> list[TariffRecord]:
        with database_away("Tariffs"), self._database.transaction() as db:
            lock_rows(db, TARIFFS)
            announce(db, ChangeTopic.PRICES)
            planned = list(plan(self._load(db)))
            seq = next_seq(db, TARIFFS)
            for at, record in enumerate(planned, seq):
                db.execute(insert(TARIFFS).values(_row(at, record)))
                keep_terms(db, record.tariff.documents)
        self.refresh()
        return planned

    def _load(self, db: Connection) -> TariffHistory:
        """Read the records behind those in memory. Rows are numbered from 1 without gaps, see ``next_seq``."""
        with self._loading:
            known = self._history.records
            rows = db.execute(
                select(TARIFFS).where(TARIFFS.c.seq > len(known)).order_by(TARIFFS.c.seq)
            ).mappings()
            more = [_record(row) for row in rows]
            if more:
                self._history = self._history.added(more)
            return self._history


def _row(seq: int, record: TariffRecord) -> dict[str, Any]:
    return {
        "seq": seq,
        "id": record.tariff.id,
        "valid_from_ms": record.tariff.valid_from_ms,
        "recorded_ms": record.recorded_ms,
        "action": record.action,
        "written": record.written,
        "body": rfc8785.dumps(record.tariff.as_json()).decode(),
    }


def _record(row: Any) -> TariffRecord:
    """Read a row back. The id comes from the body: a body that was changed no longer has the id of its reads."""
    tariff = Tariff.from_json(json.loads(row["body"]))
    return TariffRecord(tariff, row["action"], row["written"], row["recorded_ms"])
