"""``kvproxy bench fair``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import BenchModel


@bench.command("fair")
def bench_fair_command(
    model: BenchModel = "smollm2-135m",
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Of the cold prompt.")] = 7500,
    known: Annotated[
        int,
        typer.Option(
            min=0, help="So many of them are resident: only the rest, the dearest part, is computed."
        ),
    ] = 0,
    streams: Annotated[int, typer.Option(min=1, help="Answers that are being written.")] = 4,
    gaps: Annotated[int, typer.Option(min=10, help="Undisturbed gaps of each, before and after.")] = 100,
    hits: Annotated[int, typer.Option(min=1, help="Hits that come beside the cold prompt.")] = 8,
    crowd: Annotated[
        int, typer.Option(min=1, help="Sequences of one tenant that come at once, beside another's requests.")
    ] = 400,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the gaps between the tokens of running streams while a long cold prompt is computed, and the TTFT beside
    another tenant's many sequences."""
    from kvproxy.bench.fair import FairBenchPlan, bench_fair
    from kvproxy.bench.print_fair import print_fair
    from kvproxy.bench.tenants import TenantCrowd
    from kvproxy.config import default_cache_dir
    from kvproxy.terminal.progress import Progress

    if known >= prompt_tokens:
        raise typer.BadParameter("leave some of the prompt unknown", param_hint="--known")
    plan = FairBenchPlan(
        prompt_tokens=prompt_tokens,
        known=known,
        streams=streams,
        gaps=gaps,
        hits=hits,
        crowd=TenantCrowd(sequences=crowd),
    )
    with Progress("bench fair", unit="parts") as progress:
        result = bench_fair(model, plan, cache_dir=default_cache_dir(), progress=progress)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_fair(result)
