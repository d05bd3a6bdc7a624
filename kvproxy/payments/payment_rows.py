"""`PaymentRows`: the table of payments, and the steps that a row may take. Blocking, never on the loop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import rfc8785
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from kvproxy.database.database import Database
from kvproxy.database.tables.payment_tables import PAYMENTS

PaymentState = Literal["authorised", "intended", "settled", "credited", "unclear"]


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """One payment. ``exchange`` holds the facilitator's ``payment`` and ``requirements``."""

    id: str
    tenant: str
    method: str
    state: PaymentState
    nano: int
    units: int
    payer: str
    exchange: Mapping[str, Any]
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentLookup:
    """A payment by its id, or its absence."""

    row: PaymentRow | None


class PaymentRows:
    """The payments of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: PaymentRow, at_ms: int) -> bool:
        """Add a row; False when its id was there before. The primary key decides between two requests at once."""
        values = {
            "id": row.id,
            "tenant": row.tenant,
            "method": row.method,
            "state": row.state,
            "nano": row.nano,
            "units": row.units,
            "payer": row.payer,
            "exchange": rfc8785.dumps(dict(row.exchange)).decode(),
            "reference": row.reference,
            "created_ms": at_ms,
            "changed_ms": at_ms,
        }
        try:
            with self._database.transaction() as db:
                db.execute(insert(PAYMENTS).values(values))
        except IntegrityError:
            if self.find(row.id).row is None:  # another constraint than the primary key
                raise
            return False
        return True

    def find(self, id: str) -> PaymentLookup:
        """Look a payment up."""
        with self._database.snapshot() as db:
            found = db.execute(select(PAYMENTS).where(PAYMENTS.c.id == id)).one_or_none()
        return PaymentLookup(None if found is None else _row(found))

    def unfinished(self, states: Sequence[PaymentState], until_ms: int) -> Sequence[PaymentRow]:
        """Return the payments in these states that took their last step by ``until_ms``, oldest first."""
        query = (
            select(PAYMENTS)
            .where(PAYMENTS.c.state.in_(states), PAYMENTS.c.changed_ms <= until_ms)
            .order_by(PAYMENTS.c.created_ms)
        )
        with self._database.snapshot() as db:
            return [_row(found) for found in db.execute(query)]

    def advance(
        self,
        id: str,
        before: PaymentState,
        after: PaymentState,
        at_ms: int,
        *,
        units: int | None = None,
        reference: str | None = None,
    ) -> bool:
        """Take one step; False when the row is not in ``before`` any more, because another has taken it.

        Example:
            ``rows.advance(id, "intended", "settled", now, reference=transaction)``
        """
        values: dict[str, Any] = {"state": after, "changed_ms": at_ms}
        if units is not None:
            values["units"] = units
        if reference is not None:
            values["reference"] = reference
        query = update(PAYMENTS).where(PAYMENTS.c.id == id, PAYMENTS.c.state == before).values(values)
        with self._database.transaction() as db:
            return db.execute(query).rowcount == 1

    def forget(self, id: str, state: PaymentState) -> bool:
        """Delete a payment that took no money and is in ``state``; False when it is not."""
        query = delete(PAYMENTS).where(PAYMENTS.c.id == id, PAYMENTS.c.state == state)
        with self._database.transaction() as db:
            return db.execute(query).rowcount == 1


def _row(found: Row[Any]) -> PaymentRow:
    return PaymentRow(
        id=found.id,
        tenant=found.tenant,
        method=found.method,
        state=found.state,
        nano=found.nano,
        units=found.units,
        payer=found.payer,
        exchange=json.loads(found.exchange),
        reference=found.reference,
    )
