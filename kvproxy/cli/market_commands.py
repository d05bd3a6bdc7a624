"""Commands of the market, each group in a file of its own."""

from __future__ import annotations

import typer

from kvproxy.cli.tariff_commands import tariff


def add_market_commands(app: typer.Typer) -> None:
    """Add the groups and commands to ``app``."""
    app.add_typer(tariff, name="tariff")
