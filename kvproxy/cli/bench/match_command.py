"""``kvproxy bench match``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import BenchModel, read_sizes


@bench.command("match")
def bench_match_command(
    model: BenchModel = "smollm2-135m",
    documents: Annotated[
        str, typer.Option(help="Documents in the library, ascending.")
    ] = "1000,10000,100000,1000000",
    tokens: Annotated[int, typer.Option(min=300, help="Tokens of the document that is asked for.")] = 50_000,
    requests: Annotated[int, typer.Option(min=2, help="For each size.")] = 200,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure detection and swap of a long known document in front of a question, while the library grows."""
    from kvproxy.bench.match_bench import MatchPlan, bench_match, print_match
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.terminal.progress import Progress

    folder = resolve_model(model, cache_dir=default_cache_dir()).path
    plan = MatchPlan(documents=tuple(sorted(read_sizes(documents))), tokens=tokens, requests=requests)
    with Progress("bench match", unit="documents") as progress:
        result = bench_match(folder, plan, progress=progress)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_match(result)
