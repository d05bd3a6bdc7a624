"""``kvproxy bench dashboard``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import can_write, write_whole


@bench.command("dashboard")
def bench_dashboard_command(
    model: Annotated[
        str, typer.Option(help="Tokenizer and chat template; it is never run.")
    ] = "smollm2-135m",
    documents: Annotated[
        int, typer.Option(min=0, help="Measure lists of so many documents instead.", show_default=False)
    ] = 0,
    times: Annotated[int, typer.Option(min=2, help="With --documents: of each list.")] = 20,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of each round.")] = 31.0,
    rounds: Annotated[int, typer.Option(min=1, help="Under load, and half of them without.")] = 4,
    rate: Annotated[float, typer.Option(min=1.0, help="Requests a second, to each proxy.")] = 20.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """Measure what the dashboard costs: its share of a core, or the time of lists of many documents."""
    from kvproxy.bench.watched.dashboard_cost import DashboardCostPlan, bench_dashboard
    from kvproxy.bench.watched.list_speed import bench_lists
    from kvproxy.bench.watched.print_watched import print_dashboard_cost, print_lists
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.terminal.progress import Progress

    can_write(json_file)
    with Progress(f"preparing {model}", unit="tensors") as progress:
        folder = resolve_model(model, revision=None, cache_dir=default_cache_dir(), progress=progress).path

    def told(line: str) -> None:
        typer.echo(line, err=True)

    if documents:
        result = bench_lists(documents, model_folder=folder, times=times, told=told)
        print_lists(result)
    else:
        result = bench_dashboard(DashboardCostPlan(seconds, rounds, rate), model_folder=folder, told=told)
        print_dashboard_cost(result)
    if json_file is not None:
        write_whole(json_file, json.dumps(result, indent=2) + "\n")
