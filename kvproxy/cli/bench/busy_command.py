"""``kvproxy bench busy``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("busy")
def bench_busy_command(
    model: Annotated[str, typer.Option(help="A folder, or a hub name.")] = "smollm2-135m",
    busy: Annotated[int | None, typer.Option(min=0, help="Busy processes.  [one for each core]")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Take the median of so many.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the server's kernels.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure start, prefill and decode beside busy processes, and alone. Exit 1 above 3 times the time alone."""
    from kvproxy.bench.busy import bench_busy, print_busy
    from kvproxy.example_documents import example_text
    from kvproxy.terminal.progress import Progress

    with Progress("bench busy", unit="runs") as progress:
        result = bench_busy(
            model,
            text=example_text("gpl-3.txt"),
            busy=busy,
            repeats=repeats,
            threads=threads,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_busy(result)
    if not result["ok"]:
        raise typer.Exit(1)
