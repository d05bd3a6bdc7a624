"""``kvproxy bench traces``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import can_write, write_whole


@bench.command("traces")
def bench_traces_command(
    model: Annotated[
        str, typer.Option(help="Tokenizer and chat template; it is never run.")
    ] = "smollm2-135m",
    requests: Annotated[int, typer.Option(min=10, help="To each server in a round.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, help="Each with new servers.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """Measure the processor time that traces add to a request: off, on and not sampled, on."""
    from kvproxy.bench.watched.print_watched import print_trace_cost
    from kvproxy.bench.watched.trace_cost import bench_traces
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.terminal.progress import Progress

    can_write(json_file)
    with Progress(f"preparing {model}", unit="tensors") as progress:
        folder = resolve_model(model, revision=None, cache_dir=default_cache_dir(), progress=progress).path
    result = bench_traces(requests, rounds, model_folder=folder, told=lambda line: typer.echo(line, err=True))
    print_trace_cost(result)
    if json_file is not None:
        write_whole(json_file, json.dumps(result, indent=2) + "\n")
