"""``kvproxy bench explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import BenchModel


@bench.command("explain")
def bench_explain_command(
    document: Annotated[Path, typer.Argument(help="A text; each request has it behind another date.")],
    model: BenchModel = "smollm2-135m",
    rounds: Annotated[int, typer.Option(min=1, help="Requests.")] = 60,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the processor time of finding a miss's cause, beside that of composing the prompt. Loads no weights."""
    from kvproxy.bench.explain_cost import bench_explain, print_explain
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model

    folder = resolve_model(
        model, revision=None, cache_dir=default_cache_dir(), progress=lambda done, total: None
    )
    result = bench_explain(folder.path, document.read_text(encoding="utf-8"), rounds=rounds)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_explain(result)
