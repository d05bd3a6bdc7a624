"""``kvproxy migrate`` and ``kvproxy config check``: the database's schema, and the settings, before a server starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from kvproxy.cli.options import ConfigFile, StoreFolder, read_config

if TYPE_CHECKING:
    from kvproxy.config import Config

config_group = typer.Typer(help="Check the configuration.", no_args_is_help=True)


def migrate_database(config: ConfigFile = None, store: StoreFolder = None) -> None:
    """Bring the database's schema to this version, as the server does when it starts."""
    from kvproxy.database.database import Database
    from kvproxy.database.migrate import migrate

    settings = read_config(config, store__path=store)
    with Database.open(settings.database.url, settings.store.path) as database:
        result = migrate(database)
    if result.changed:
        typer.echo(f"migrated from {result.before or 'nothing'} to {result.after}")
    else:
        typer.echo(f"nothing to do: the schema is {result.after}")


@config_group.command("check")
def config_check(config: ConfigFile = None, store: StoreFolder = None) -> None:
    """Read the configuration and reach its database, as the server would; changes nothing.

    Status 2: a server would not start. The model is left to `kvproxy doctor`, the tariff to `kvproxy tariff check`.
    """
    settings = read_config(config, store__path=store)
    typer.echo(f"config: {config or 'defaults'} is right")
    typer.echo(f"database: {_database_state(settings)}")


def _database_state(settings: Config) -> str:
    from kvproxy.database.database import FILE_NAME, Database
    from kvproxy.database.migrate import schema_state

    file = settings.store.path / FILE_NAME
    if settings.database.url is None and not file.exists():
        return f"{file} is made when the server starts"
    with Database.open(settings.database.url, settings.store.path) as database:
        state, shown = schema_state(database), database.url.render_as_string(hide_password=True)
    if state.up_to_date:
        return f"{shown} has schema {state.current}"
    return f"{shown} has schema {state.current or 'none'}; the server will bring it to {state.newest}"
