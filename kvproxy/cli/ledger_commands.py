"""``kvproxy ledger``: show, export and check the ledger; credit a tenant, take a row back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvproxy.cli.options import ConfigFile, StoreFolder, read_amount, read_config
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from kvproxy.config import Config
    from kvproxy.database.database import Database
    from kvproxy.ledger.bookings import CreditKind

ledger = typer.Typer(
    help="Show, export and check the ledger, on the server's machine, also while it runs.",
    no_args_is_help=True,
)


class By(StrEnum):
    """The names that ``kvproxy ledger show`` sums by."""

    reader = "reader"
    publisher = "publisher"
    document = "document"
    model = "model"
    day = "day"


class Format(StrEnum):
    """The formats of ``kvproxy ledger export``."""

    csv = "csv"
    json = "json"
    parquet = "parquet"


Since = Annotated[str | None, typer.Option(help="From this day or moment in UTC on, such as 2026-11-01.")]
Until = Annotated[str | None, typer.Option(help="To this one, not included.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, with amounts in nano-units.")]


@contextmanager
def _database(config: Path | None, store: Path | None) -> Iterator[tuple[Config, Database]]:
    from kvproxy.database.database import Database
    from kvproxy.database.migrate import migrate

    settings = read_config(config, store__path=store)
    with Database.open(settings.database.address, settings.store.path) as database:
        migrate(database)
        yield settings, database


def _moment(text: str | None, name: str) -> int | None:
    from kvproxy.wire.market.periods import parse_moment

    return None if text is None else parse_moment(text, param=name) * 1000


@ledger.command("show")
def ledger_show(
    by: Annotated[By, typer.Option(help="What to sum by.")] = By.reader,
    since: Since = None,
    until: Until = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show requests, tokens, money, and what hits saved, by reader, publisher, document, model or day."""
    import dataclasses
    import json

    from kvproxy.ledger.ledger_reading import AggregateQuery, read_sums
    from kvproxy.terminal.ledger_sums import print_sums

    query = AggregateQuery(by.value, since_ms=_moment(since, "since"), until_ms=_moment(until, "until"))
    with _database(config, store) as (settings, database), database.snapshot() as db:
        sums = [dataclasses.asdict(one) for one in read_sums(db, query)]
        currency = settings.billing.currency
    if as_json:
        typer.echo(
            json.dumps({"by": by.value, "currency": currency, "data": sums}, indent=2, ensure_ascii=False)
        )
    elif sums:
        print_sums(sums, by.value, currency)
    else:
        typer.echo("the ledger has no request in this time")


@ledger.command("export")
def ledger_export(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[Format | None, typer.Option(help="By default as the file's name ends.")] = None,
    since: Since = None,
    until: Until = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
) -> None:
    """Write the rows to a file: CSV and Parquet have a line for each row, JSON its whole content."""
    from kvproxy.ledger.ledger_export import export_rows

    name = format.value if format is not None else file.suffix.lstrip(".")
    if name not in Format.__members__:
        raise SetupError(f"'{file}' does not say its format; give --format csv, json or parquet")
    with _database(config, store) as (_, database):
        written = export_rows(
            database,
            file,
            Format(name).value,
            since_ms=_moment(since, "since"),
            until_ms=_moment(until, "until"),
        )
    typer.echo(f"wrote {written:,} rows to {file}")


@ledger.command("check")
def ledger_check_command(config: ConfigFile = None, store: StoreFolder = None) -> None:
    """Prove that the ledger holds: its chain, its sums, its checkpoints, and each price by the terms of its time.

    Status 0: it holds; 1: it does not, and each fault is named.
    """
    from kvproxy.charging.repriced_rows import repricer
    from kvproxy.ledger.journal_backlog import read_backlog
    from kvproxy.ledger.ledger import JOURNAL_FOLDER
    from kvproxy.ledger.ledger_check import chain_end, find_faults
    from kvproxy.receipts.log_checkpoints import LogCheckpoints
    from kvproxy.tariffs.recorded_tariffs import Tariffs
    from kvproxy.tariffs.terms_book import TermsBook

    with _database(config, store) as (settings, database):
        tariffs = Tariffs(database)
        tariffs.refresh()
        terms = TermsBook(database, tariffs)
        terms.refresh()
        faults = 0
        for fault in find_faults(database, repricer(tariffs, terms)):
            typer.echo(str(fault))
            faults += 1
        for contradicted in LogCheckpoints(database).check():
            typer.echo(f"checkpoint: {contradicted}")
            faults += 1
        end = chain_end(database)
        backlog = read_backlog(settings.store.path / JOURNAL_FOLDER)
    if backlog.refused:
        typer.echo(f"{backlog.refused} settled requests could not be booked: see {backlog.refused_file}")
    if backlog.waiting:
        typer.echo(
            f"{backlog.waiting} records are in journals; those that are not booked yet are at the next start"
        )
    if faults or backlog.refused:
        typer.echo(f"{faults} faults in {end.seq:,} rows", err=True)
        raise typer.Exit(1)
    typer.echo(f"the ledger holds: {end.seq:,} rows, the last one's hash is {end.hash}")


@ledger.command("credit")
def ledger_credit(
    tenant: Annotated[str, typer.Argument(help="The tenant's name.")],
    amount: Annotated[str, typer.Argument(help="An amount of the host's currency, such as 5.00.")],
    promotional: Annotated[
        bool, typer.Option("--promotional", help="From the account of promotions, not from outside.")
    ] = False,
    reference: Annotated[str, typer.Option(help="A remark, such as an invoice's number.")] = "",
    id: Annotated[
        str | None, typer.Option("--id", help="Books once for each id.  [a new one]", show_default=False)
    ] = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
) -> None:
    """Add to a tenant's balance; a running server sees it at once."""
    import uuid

    from kvproxy.core import format_nano
    from kvproxy.ledger.transfers import NewCredit, book_credit

    nano = read_amount(amount) or 0
    with _database(config, store) as (settings, database):
        currency = settings.billing.currency
        kind: CreditKind = "promotional" if promotional else "admin"
        wanted = NewCredit(tenant, nano, kind, id or uuid.uuid4().hex, reference, currency)
        balance = book_credit(database, wanted, time.time_ns() // 1_000_000)
    typer.echo(
        f"credited {format_nano(nano)} {currency}; the balance of {tenant} is {format_nano(balance)} {currency}"
    )


@ledger.command("refund")
def ledger_refund(
    row: Annotated[str, typer.Argument(help="The row's id: a request's, or credit: with a credit's.")],
    reason: Annotated[str, typer.Option(help="Why; the new row keeps it.")] = "",
    config: ConfigFile = None,
    store: StoreFolder = None,
) -> None:
    """Take a row back by a new one that reverses it; a second time changes nothing."""
    from kvproxy.core import format_nano
    from kvproxy.ledger.lease_sql import tenant_credit
    from kvproxy.ledger.transfers import book_refund

    with _database(config, store) as (settings, database):
        refund = book_refund(
            database,
            row,
            reason,
            at_ms=time.time_ns() // 1_000_000,
            credit_of=tenant_credit(settings.billing.credit_nano),
        )
    moved = ", ".join(f"{entry.account} {format_nano(entry.nano)}" for entry in refund.entries) or "nothing"
    typer.echo(f"row {refund.seq} takes back {row}: {moved} {refund.charge.currency}")
