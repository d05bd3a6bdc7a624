"""``kvproxy bench evict``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("evict")
def bench_evict_command(
    requests: Annotated[int, typer.Option(min=2, help="Length of the trace.")] = 2000,
    conversations: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests that are turns.")
    ] = 0.4,
    drift: Annotated[float, typer.Option(min=0, max=1, help="How often documents change places.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Of the trace.")] = 0,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the savings of eviction by value, against LRU, LFU and the offline optimum, on a Zipf trace."""
    from kvproxy.bench.evict import bench_evict, print_evict
    from kvproxy.bench.trace import TracePlan
    from kvproxy.terminal.progress import Progress

    plan = TracePlan(requests=requests, conversations=conversations, drift=drift, seed=seed)
    with Progress("bench evict", unit="sizes") as progress:
        result = bench_evict(plan, progress=progress)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_evict(result)
