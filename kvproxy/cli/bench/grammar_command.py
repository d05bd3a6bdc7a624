"""``kvproxy bench grammar``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("grammar")
def bench_grammar_command(
    model: Annotated[str, typer.Option(help="Whose vocabulary: a folder, or a hub name.")] = "smollm2-135m",
    repeats: Annotated[int, typer.Option(min=1, help="Answers per grammar.")] = 20,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the cost of structured output per token: the masks, and advancing the grammar."""
    from kvproxy.bench.grammar_overhead import bench_grammar
    from kvproxy.bench.table import print_grammar
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.terminal.progress import Progress

    with Progress(f"preparing {model}", unit="tensors") as progress:
        folder = resolve_model(model, revision=None, cache_dir=default_cache_dir(), progress=progress)
    result = bench_grammar(folder.path, repeats=repeats)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_grammar(result)
