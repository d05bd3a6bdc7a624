"""``kvproxy bench ledger``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("ledger")
def bench_ledger_command(
    requests: Annotated[int, typer.Option(min=100, help="Of each measurement.")] = 5000,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second of the paced one.")] = 500.0,
    postgres: Annotated[
        str | None,
        typer.Option(help="Measure a PostgreSQL too, such as postgresql+psycopg://user@host/name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the ledger's cost to a request on the event loop, and the rows a second that it books.

    Exit 1 when the median of hold and settlement is above 0.2 ms, or the ledger does not check.
    """
    import tempfile
    from pathlib import Path

    from kvproxy.bench.ledger_bench import bench_ledger, print_ledger

    with tempfile.TemporaryDirectory(prefix="kvproxy-ledger-") as folder:
        result = bench_ledger(Path(folder), requests=requests, rate=rate, postgres=postgres)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_ledger(result)
    if not result["ok"]:
        raise typer.Exit(1)
