"""``kvproxy tariff``: check a tariff file, and show what is recorded and valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvproxy.cli.options import ConfigFile, StoreFolder, read_config
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from kvproxy.config import Config
    from kvproxy.database.database import Database
    from kvproxy.tariffs.tariff_file import FileContext
    from kvproxy.tariffs.tariff_history import TariffRecord

tariff = typer.Typer(help="Check a tariff file; show the prices that are recorded.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON, with prices in nano-units.")]


@tariff.command("check")
def tariff_check(
    file: Annotated[Path | None, typer.Argument(help="A tariff file.  [the config's]")] = None,
    config: ConfigFile = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Read a tariff file as the server would, and show its prices; faults are named with their lines.

    With --config: in the host's currency, with the prices of its upstreams, and against what is recorded already.
    """
    from kvproxy.stack.tariff_context import file_context
    from kvproxy.tariffs.tariff_file import read_tariff_file
    from kvproxy.tariffs.tariff_history import TariffRecord
    from kvproxy.terminal.price_tables import print_tariffs

    settings = read_config(config, store__path=store)
    path = file or settings.tariff
    if path is None:
        raise SetupError(
            "name a tariff file, or a --config that has one; examples/tariff.yaml shows how to write it"
        )
    context = file_context(settings, billed=config is not None)
    found = read_tariff_file(path, context)
    records = [TariffRecord(entry.tariff, "valid", entry.written, 0) for entry in found.entries]
    if config is not None:
        _compare(settings, path, context)
    if as_json:
        typer.echo(_json(records))
        return
    print_tariffs(records, None)
    for name, model in context.upstreams.items():
        unsold = [e.line for e in found.entries if e.tariff.prices(name) is None]
        if unsold:
            lines = ", ".join(map(str, unsold))
            typer.echo(
                f"upstream {name} ({model}) has no price in the entries of lines {lines}: it is not sold then"
            )
    typer.echo(f"{path} is right: {len(records)} entries, in {found.currency}")


@tariff.command("show")
def tariff_show(config: ConfigFile = None, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Show all tariffs that are recorded in the database, and which one is valid now."""
    from kvproxy.tariffs.recorded_tariffs import Tariffs
    from kvproxy.tariffs.tariff_history import now_in_ms
    from kvproxy.terminal.price_tables import print_tariffs

    database = open_recorded(read_config(config, store__path=store))
    if database is None:
        typer.echo("no tariff is recorded yet: the server records its tariff file when it starts")
        return
    with database:
        tariffs = Tariffs(database)
        tariffs.refresh()
    history = tariffs.history
    if as_json:
        typer.echo(_json(history.schedule))
    elif history.records:
        print_tariffs(history.schedule, history.at(now_in_ms()))
    else:
        typer.echo("no tariff is recorded yet: the server records its tariff file when it starts")


def open_recorded(settings: Config) -> Database | None:
    """Open the database where it has the tables of tariffs; None where no server has run with it yet.

    Raises SetupError where the database cannot be reached.
    """
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    from kvproxy.database.database import FILE_NAME, Database

    if settings.database.address is None and not (settings.store.path / FILE_NAME).exists():
        return None
    database = Database.open(settings.database.address, settings.store.path)
    try:
        there = inspect(database.engine).has_table("tariffs")
    except SQLAlchemyError as e:
        database.close()
        raise SetupError(f"the database cannot be reached: {e.__cause__ or e}") from e
    if there:
        return database
    database.close()
    return None


def _compare(settings: Config, path: Path, context: FileContext) -> None:
    """Refuse what a server would refuse when it records the file. Records nothing."""
    from kvproxy.tariffs.recorded_tariffs import Tariffs
    from kvproxy.tariffs.tariff_file import read_tariff_file
    from kvproxy.tariffs.tariff_history import now_in_ms, plan_file

    database = open_recorded(settings)
    if database is None:
        return
    with database:
        tariffs = Tariffs(database)
        tariffs.refresh()
    plan_file(tariffs.history, read_tariff_file(path, context), now_in_ms())


def _json(records: Any) -> str:
    def one(record: TariffRecord) -> dict[str, Any]:
        return {"id": record.tariff.id, "recorded_ms": record.recorded_ms, **record.tariff.as_json()}

    return json.dumps({"tariffs": [one(record) for record in records]}, indent=2)
