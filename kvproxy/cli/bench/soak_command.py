"""``kvproxy bench soak``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("soak")
def bench_soak_command(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long.")] = 10.0,
    model: Annotated[str, typer.Option(help="A folder, or a hub name.")] = "smollm2-135m",
    clients: Annotated[int, typer.Option(min=2, help="How many ask at once.")] = 24,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the server's kernels.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Overload: every request ends, memory stays where it was, and every page is accounted for. Exit 1 if not."""
    from kvproxy.bench.soak import SoakPlan, bench_soak, print_soak
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.example_documents import example_text
    from kvproxy.terminal.progress import Progress

    with Progress(f"preparing {model}", unit="tensors") as progress:
        folder = resolve_model(model, revision=None, cache_dir=default_cache_dir(), progress=progress)
    plan = SoakPlan(minutes * 60, clients=clients, threads=threads)
    with Progress("bench soak", unit="s") as progress:
        result = bench_soak(
            plan, model=model, folder=folder.path, text=example_text("gpl-3.txt"), progress=progress
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_soak(result)
    if not result["ok"]:
        raise typer.Exit(1)
