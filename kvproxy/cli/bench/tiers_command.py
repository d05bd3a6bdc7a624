"""``kvproxy bench tiers``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("tiers")
def bench_tiers_command(
    shape: Annotated[str, typer.Option(help="Pages of smollm2-135m or qwen3-4b.")] = "qwen3-4b",
    pages: Annotated[int, typer.Option(min=1)] = 8,
    url: Annotated[
        str | None, typer.Option(help="An object store, s3://bucket/prefix; without it a folder.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="One of its settings, region=eu-central-1; several times.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Take the median of so many.")] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Write and read pages in files and in an object store, plain and encrypted, beside moving their bytes alone."""
    from kvproxy.bench.tiers_bench import FORMS, bench_tiers
    from kvproxy.bench.tiers_table import print_tiers

    if shape not in FORMS:
        raise typer.BadParameter(f"{shape}: there are {', '.join(FORMS)}", param_hint="--shape")
    options = dict(entry.partition("=")[::2] for entry in option or ())
    result = bench_tiers(FORMS[shape], pages=pages, url=url, options=options, repeats=repeats)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_tiers(result)
