"""Commands of the market, each group in a file of its own."""

from __future__ import annotations

import typer

from kvproxy.cli.catalog_commands import catalog, quote
from kvproxy.cli.config_command import config_group
from kvproxy.cli.database_commands import migrate_database
from kvproxy.cli.economics_command import economics
from kvproxy.cli.grants_commands import grants
from kvproxy.cli.keys_commands import keys
from kvproxy.cli.ledger_commands import ledger
from kvproxy.cli.receipt_commands import host_key, receipt, statement
from kvproxy.cli.tariff_commands import tariff
from kvproxy.cli.tenants_commands import tenants


def add_market_commands(app: typer.Typer) -> None:
    """Add the groups and commands to ``app``."""
    app.add_typer(tariff, name="tariff")
    app.add_typer(keys, name="keys")
    app.add_typer(tenants, name="tenants")
    app.add_typer(grants, name="grants")
    app.add_typer(ledger, name="ledger")
    app.add_typer(config_group, name="config")
    app.command("migrate")(migrate_database)
    app.add_typer(receipt, name="receipt")
    app.add_typer(statement, name="statement")
    app.add_typer(host_key, name="host-key")
    app.command("catalog")(catalog)
    app.command("quote")(quote)
    app.command()(economics)
