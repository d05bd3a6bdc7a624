"""``kvproxy bench residency``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import read_sizes


@bench.command("residency")
def bench_residency_command(
    replicas: Annotated[str, typer.Option(help="Sizes of the fleet, ascending.")] = "1,16,1000",
    blocks: Annotated[
        int, typer.Option(min=1_000, help="Blocks that all replicas hold together.")
    ] = 4_000_000,
    lookups: Annotated[int, typer.Option(min=10, help="For each size.")] = 2_000,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure block hashes, and the index of which replicas hold how much, beside a dictionary of sets."""
    from kvproxy.bench.residency_bench import ResidencyPlan, bench_residency, print_residency

    result = bench_residency(ResidencyPlan(tuple(read_sizes(replicas)), blocks, lookups))
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_residency(result)
