"""Table of payments: one row for each credential that was accepted, with how far its money has come."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Table, Text

from kvproxy.database.metadata import METADATA

PAYMENTS = Table(
    "payments",
    METADATA,
    Column("id", Text, primary_key=True),  # of payer, token and nonce: a credential has one id for ever
    Column("tenant", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("nano", BigInteger, nullable=False),  # asked, or for an authorisation the most that may be asked
    Column("units", BigInteger, nullable=False),  # the same in the token's own units, rounded up
    Column("payer", Text, nullable=False),
    Column(
        "exchange", Text, nullable=False
    ),  # canonical JSON: what the facilitator is sent, again after a crash
    Column("reference", Text),  # the facilitator's transaction, once settled
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    CheckConstraint(
        "state IN ('authorised', 'intended', 'settled', 'credited', 'unclear')", name="known_state"
    ),
    CheckConstraint("nano >= 0 AND units >= 0", name="no_debt"),
    Index("ix_payments_state", "state"),
)
"""States: an authorisation is ``authorised`` until the price is known. Then ``intended`` (the facilitator is asked),
``settled`` (it has moved the money), ``credited`` (the ledger has it). ``unclear``: an operator has to look. What a
facilitator refused, and what was released, is deleted: no money moved."""
