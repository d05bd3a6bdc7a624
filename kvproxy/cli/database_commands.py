"""``kvproxy migrate``: the database's schema, before a server starts."""

from __future__ import annotations

import typer

from kvproxy.cli.options import ConfigFile, StoreFolder, read_config


def migrate_database(config: ConfigFile = None, store: StoreFolder = None) -> None:
    """Bring the database's schema to this version, as the server does when it starts."""
    from kvproxy.database.database import Database
    from kvproxy.database.migrate import migrate

    settings = read_config(config, store__path=store)
    with Database.open(settings.database.address, settings.store.path) as database:
        result = migrate(database)
    if result.changed:
        typer.echo(f"migrated from {result.before or 'nothing'} to {result.after}")
    else:
        typer.echo(f"nothing to do: the schema is {result.after}")
