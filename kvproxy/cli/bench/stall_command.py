"""``kvproxy bench stall``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("stall")
def bench_stall_command(
    model: Annotated[
        str, typer.Option(help="Tokenizer and chat template; it is never run.")
    ] = "smollm2-135m",
    streams: Annotated[int, typer.Option(min=0, help="Answers that are being written meanwhile.")] = 64,
    documents: Annotated[int, typer.Option(min=0, help="Of the library.")] = 10_000,
    body_mib: Annotated[
        float, typer.Option("--body-mib", min=0.1, max=32, help="Size of the bodies at most.")
    ] = 8.0,
    only: Annotated[
        list[str] | None, typer.Option(help="Cases whose name holds this; may be given several times.")
    ] = None,
    before: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A result of --json to compare with.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the longest stall of the event loop while the largest bodies are served, and name its cause."""
    from kvproxy.bench.stalls.measure_stalls import StallPlan, measure_stalls
    from kvproxy.bench.stalls.print_stalls import print_stalls, stall_line
    from kvproxy.bench.stalls.stall_cases import CASES
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.terminal.progress import Progress

    cases = [case for case in CASES if not only or any(part in case.name for part in only)]
    if not cases:
        raise typer.BadParameter("no case has such a name", param_hint="--only")
    with Progress(f"preparing {model}", unit="tensors") as progress:
        folder = resolve_model(model, revision=None, cache_dir=default_cache_dir(), progress=progress)
    plan = StallPlan(streams, documents, int(body_mib * 2**20), cases)
    result = measure_stalls(
        plan, model_folder=folder.path, told=lambda row: typer.echo(stall_line(row), err=True)
    )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_stalls(result, None if before is None else json.loads(before.read_text(encoding="utf-8")))
