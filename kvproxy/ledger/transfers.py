"""`book_credit` and `book_refund`: the transfers that people make. Blocking; each in a transaction of its own."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from kvproxy.core.charges import Charge, MeteredTokens
from kvproxy.core.money import MOST_NANO, format_nano
from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_BALANCES, LEDGER_ROWS
from kvproxy.errors import AlreadyUsed, InvalidRequest, NotFound
from kvproxy.ledger.booking_sql import append_rows, lock_head
from kvproxy.ledger.bookings import (
    SOURCES,
    CreditKind,
    LedgerEntry,
    LedgerRow,
    RowContent,
    reader_account,
)
from kvproxy.ledger.lease_sql import CreditOf, read_funds
from kvproxy.ledger.row_body import read_row, taken_back

MOST_TEXT = 200
"""Characters of an id, a reference or a reason."""


@dataclass(frozen=True, slots=True)
class NewCredit:
    """Money that is added to a tenant's balance."""

    tenant: str
    nano: int
    kind: CreditKind
    id: str
    """Books once: the same credit with the same id changes nothing."""
    reference: str = ""
    currency: str = "USD"


def book_credit(database: Database, credit: NewCredit, at_ms: int) -> int:
    """Book a credit, unless its id is booked; return the tenant's balance. Raises InvalidRequest and AlreadyUsed.

    Example:
        ``book_credit(database, NewCredit("alice", 5 * NANO, "admin", id="invoice-17"), now_ms)``
    """
    _check_credit(credit)
    source, account = SOURCES[credit.kind], reader_account(credit.tenant)
    content = RowContent(
        id=f"credit:{credit.id}",
        kind="topup",
        at_ms=at_ms,
        reader=credit.tenant,
        key=None,
        metered=MeteredTokens("", 0, 0, 0),
        charge=Charge(credit.currency, 0, 0, 0, (), ""),
        entries=(LedgerEntry(source, -credit.nano), LedgerEntry(account, credit.nano)),
        reference=credit.reference,
    )
    with database.transaction() as db:
        end = lock_head(db)
        before = find_row(db, content.id)
        if before is None:
            for entry in content.entries:
                if abs(read_balance(db, entry.account) + entry.nano) > MOST_NANO:
                    raise InvalidRequest(
                        f"The balance would pass {format_nano(MOST_NANO)} {credit.currency}."
                    )
            append_rows(db, end, [content])
        elif before.entries != content.entries:
            raise AlreadyUsed(f"The credit '{credit.id}' was booked before, with another amount or tenant.")
        return read_balance(db, account)


def _check_credit(credit: NewCredit) -> None:
    if not 0 < credit.nano <= MOST_NANO:
        raise InvalidRequest(f"A credit is more than 0 and at most {format_nano(MOST_NANO)}.", param="amount")
    for name, value in (("tenant", credit.tenant), ("id", credit.id)):
        if not value or len(value) > MOST_TEXT or not value.isprintable():
            raise InvalidRequest(f"'{name}' has 1 to {MOST_TEXT} printable characters.", param=name)
    check_remark("reference", credit.reference)


def check_remark(name: str, value: str) -> None:
    """Raise InvalidRequest for a remark that is too long, or that does not print."""
    if len(value) > MOST_TEXT or not (value.isprintable() or not value):
        raise InvalidRequest(f"'{name}' has at most {MOST_TEXT} printable characters.", param=name)


def book_refund(
    database: Database, row_id: str, reason: str, *, at_ms: int, credit_of: CreditOf
) -> LedgerRow:
    """Reverse a row by a new one; a row that was reversed before is returned as its refund, unchanged.

    Raises NotFound, and InvalidRequest for a refund's own row and for a top-up that has been spent.

    Example:
        ``book_refund(database, "req_17", "cut off", at_ms=now_ms, credit_of=tenant_credit(0))``
    """
    check_remark("reason", reason)
    with database.transaction() as db:
        end = lock_head(db)
        row = find_row(db, row_id)
        if row is None:
            raise NotFound(f"The ledger has no row '{row_id[:MOST_TEXT]}'.")
        if row.kind == "refund":
            raise InvalidRequest(
                f"'{row.id}' is a refund; a refund is not taken back. Book a credit instead."
            )
        done = find_row(db, f"refund:{row.id}")
        if done is not None:
            return done
        if row.kind == "topup":
            _check_unspent(db, row, credit_of)
        return append_rows(db, end, [taken_back(row, at_ms=at_ms, reason=reason)])[0]


def _check_unspent(db: Connection, row: LedgerRow, credit_of: CreditOf) -> None:
    funds = read_funds(db, row.reader, credit_of)
    nano = next(entry.nano for entry in row.entries if entry.account == reader_account(row.reader))
    if funds.credit is not None and funds.available < nano:
        raise InvalidRequest(
            f"{format_nano(nano)} {row.charge.currency} cannot be taken back from {row.reader}: of its balance of "
            f"{format_nano(funds.balance)} no more than {format_nano(max(0, funds.available))} is unused. "
            "Requests in progress keep a part for some seconds after they end."
        )


def find_row(db: Connection, id: str) -> LedgerRow | None:
    """Return the row of an id; None where there is none."""
    c = LEDGER_ROWS.c
    found = db.execute(select(c.body, c.previous, c.hash).where(c.id == id)).one_or_none()
    return None if found is None else read_row(found.body, found.previous, found.hash)


def read_balance(db: Connection, account: str) -> int:
    """Return an account's balance; 0 for one without entries."""
    return (
        db.execute(select(LEDGER_BALANCES.c.nano).where(LEDGER_BALANCES.c.account == account)).scalar() or 0
    )
