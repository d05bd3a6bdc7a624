"""`cost_paid_by`: the cost of the request that a payment was authorised for, as the ledger has it."""

from __future__ import annotations

from sqlalchemy import Connection, select

from kvproxy.database.tables.ledger_tables import LEDGER_ROWS


def cost_paid_by(db: Connection, payment: str) -> int | None:
    """Return the nano-units that were booked against a payment's id; None where nothing was."""
    found = db.execute(select(LEDGER_ROWS.c.cost).where(LEDGER_ROWS.c.settled_by == payment)).scalar()
    return None if found is None else int(found)
