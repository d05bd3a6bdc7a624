"""``kvproxy bench roofline``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import BenchModel


@bench.command("roofline")
def bench_roofline_command(
    model: BenchModel = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="bfloat16 or float32.")] = "bfloat16",
    repeats: Annotated[int, typer.Option(min=1, help="Take the median of so many.")] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Prefill and decode of one stream beside the machine's bounds and transformers, in one run."""
    from kvproxy.bench.roofline import bench_roofline
    from kvproxy.bench.shape_tables import print_roofline
    from kvproxy.config import default_cache_dir
    from kvproxy.terminal.progress import Progress

    with Progress("bench roofline", unit="runs") as progress:
        result = bench_roofline(
            model, cache_dir=default_cache_dir(), dtype=dtype, repeats=repeats, progress=progress
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_roofline(result)
