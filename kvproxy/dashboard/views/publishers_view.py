"""`PublishersView`: a publisher's reads and income by document and day, and a statement's check by lines. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import format_nano
from kvproxy.dashboard.views.row_pages import RowPage, page_of
from kvproxy.ledger.bookings import Balance
from kvproxy.ledger.ledger_reading import Aggregate
from kvproxy.receipts.statement_check import StatementCheck, StatementFault

DAYS = 366
"""Days of one table, the newest."""
FAULTS = 50
"""Faults of a statement that are shown."""
OTHERS = "others, not shown to you"
"""The name of those whose ids the caller may not see."""


@dataclass(frozen=True, slots=True)
class IncomeRow:
    """The reads of one document, one day or one publisher."""

    name: str
    reads: int
    tokens: int
    paid: int
    """By the readers, in nano-units."""
    share: int
    """The publisher's part of it."""


@dataclass(frozen=True, slots=True)
class PublishersView:
    """The income of one publisher in a period."""

    publisher: str
    currency: str
    balance: Balance
    since: str
    """The period's first day, and the day that it ends before, as the form has them."""
    until: str
    sums: IncomeRow
    """The whole period."""
    documents: RowPage[IncomeRow]
    days: tuple[IncomeRow, ...]
    publishers: RowPage[IncomeRow] | None
    """All publishers of the host with their sums of the period; None for who is no admin."""


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One thing that a statement must hold, and whether it does."""

    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class CheckedStatement:
    """A statement with its check, line by line."""

    sound: bool
    lines: tuple[CheckLine, ...]
    faults: tuple[str, ...]
    left_out: int
    """Faults beyond those that are shown."""
    reads: int
    tokens: int
    share: str
    currency: str
    root: str


def publisher_rows(found: Sequence[Aggregate]) -> list[IncomeRow]:
    """Return sums as rows, in their order."""
    return [IncomeRow(one.name, one.requests, one.cached_tokens, one.nano, one.share) for one in found]


def document_rows(found: Sequence[Aggregate], may_name: Callable[[str], bool]) -> list[IncomeRow]:
    """Return the sums by document; those that the caller may not see are one row without their ids.

    Example: ``document_rows(sums, lambda name: name in visible)``
    """
    rows = publisher_rows(found)
    named = [row for row in rows if may_name(row.name)]
    others = [row for row in rows if not may_name(row.name)]
    return [*named, _sum(OTHERS, others)] if others else named


def publishers_view(
    publisher: str,
    currency: str,
    balance: Balance,
    period: tuple[str, str],
    *,
    documents: Sequence[IncomeRow],
    days: Sequence[IncomeRow],
    publishers: Sequence[IncomeRow] | None,
    query: Mapping[str, str],
) -> PublishersView:
    """Return what the view of a publisher shows; ``?documents=…`` and ``?publishers=…`` are first rows of pages.

    Example: ``publishers_view("acme", "USD", balance, ("2026-11-01", "2026-12-01"), documents=…, …)``
    """
    return PublishersView(
        publisher,
        currency,
        balance,
        *period,
        _sum("all", documents),
        page_of(documents, query, param="documents"),
        tuple(days[-DAYS:]),
        None if publishers is None else page_of(publishers, query, param="publishers"),
    )


def checked_statement(
    claims: Mapping[str, Any],
    key_id: str,
    check: StatementCheck,
    log_faults: Sequence[StatementFault],
    *,
    compared: bool,
) -> CheckedStatement:
    """Return the check of one statement as lines. ``claims``: the statement's own; ``compared``: with its receipts.

    Example: ``checked_statement(claims, key.id, check_statements([jws], receipts, jwks), [], compared=True)``
    """
    told = [fault.message for fault in (*check.faults, *log_faults)]
    if not _has_form(claims):
        line = CheckLine(False, "The file has the form of a statement.")
        return CheckedStatement(False, (line,), tuple(told[:FAULTS]), 0, 0, 0, "", "", "")
    found = {fault.kind for fault in check.faults}
    currency = str(claims["currency"])
    lines = _statement_lines(found, claims, key_id)
    if compared:
        lines += _receipt_lines(found, check, currency)
    return CheckedStatement(
        not told,
        (*lines, _log_line(claims["log"], sound=not log_faults)),
        tuple(told[:FAULTS]),
        max(0, len(told) - FAULTS),
        len(claims["receipts"]),
        int(claims["tokens"]),
        str(claims["publisher_share"]),
        currency,
        str(claims["root"]),
    )


def _statement_lines(found: set[Any], claims: Mapping[str, Any], key_id: str) -> list[CheckLine]:
    return [
        CheckLine("signature" not in found, f"The statement is signed by the host, with its key {key_id}."),
        CheckLine(
            "root" not in found,
            f"The {len(claims['receipts']):,} reads that it lists, behind the {claims['first']:,} before them, have "
            f"the Merkle root that it names: {claims['root']}.",
        ),
    ]


def _log_line(log: Mapping[str, Any], *, sound: bool) -> CheckLine:
    return CheckLine(
        sound,
        f"The checkpoint of the host's log is signed, and has the root that the statement names for its "
        f"{log['size']:,} rows: {log.get('root')}.",
    )


def _has_form(claims: Mapping[str, Any]) -> bool:
    """Return whether a statement that somebody sent has what its lines tell; what is wrong in it, the check says."""
    log = claims.get("log")
    return (
        all(isinstance(claims.get(name), int) for name in ("first", "size", "tokens"))
        and all(isinstance(claims.get(name), str) for name in ("root", "currency", "publisher_share"))
        and isinstance(claims.get("receipts"), list)
        and isinstance(log, dict)
        and isinstance(log.get("size"), int)
    )


def _receipt_lines(found: set[Any], check: StatementCheck, currency: str) -> list[CheckLine]:
    whole = not found & {"changed", "added", "removed"}
    return [
        CheckLine(
            whole and check.matched == check.reads,
            f"{check.matched:,} of {check.reads:,} receipts are signed by the host, and are listed as they are.",
        ),
        CheckLine(
            "total" not in found,
            f"Tokens, prices and shares add up: {format_nano(check.publisher_nano)} {currency} are the publisher's.",
        ),
    ]


def _sum(name: str, rows: Sequence[IncomeRow]) -> IncomeRow:
    return IncomeRow(
        name,
        sum(row.reads for row in rows),
        sum(row.tokens for row in rows),
        sum(row.paid for row in rows),
        sum(row.share for row in rows),
    )
