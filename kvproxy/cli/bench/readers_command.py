"""``kvproxy bench readers``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import BenchModel, read_sizes


@bench.command("readers")
def bench_readers_command(
    model: BenchModel = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="bfloat16 or float32.")] = "bfloat16",
    readers: Annotated[str, typer.Option(help="How many at once, in one run each.")] = "1,2,4,8",
    document: Annotated[int, typer.Option(min=1, help="Tokens of the document.")] = 3774,
    new: Annotated[int, typer.Option(min=2, help="Tokens that each reader generates.")] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Take the median of so many.")] = 3,
    drafts: Annotated[
        bool,
        typer.Option(
            help="Draft tokens too. Random prompts make models repeat themselves, which says little of real ones."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure many readers of one hot document beside one: time, pages, memory, and the cost of its length."""
    from kvproxy.bench.readers import bench_readers
    from kvproxy.bench.shape_tables import print_readers
    from kvproxy.config import default_cache_dir
    from kvproxy.terminal.progress import Progress

    with Progress("bench readers", unit="runs") as progress:
        result = bench_readers(
            model,
            cache_dir=default_cache_dir(),
            dtype=dtype,
            readers=read_sizes(readers),
            document=document,
            new=new,
            repeats=repeats,
            drafts=drafts,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_readers(result)
