"""``kvproxy bench pages``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench


@bench.command("pages")
def bench_pages_command(
    shape: Annotated[str, typer.Option(help="Pages of smollm2-135m or qwen3-0.6b.")] = "smollm2-135m",
    pages: Annotated[int, typer.Option(min=1, help="30 are a document of 7,500 tokens.")] = 30,
    codec: Annotated[
        list[str] | None, typer.Option(help="Compressed by this codec as well; several times.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="On the disk that is meant; a folder in it is used.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Take the best of so many.")] = 5,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Load stored pages beside reading the same files, from the disk and from its cache."""
    from kvproxy.bench.engine.page_loading import PLAIN, SHAPES, bench_pages
    from kvproxy.bench.page_tables import print_pages
    from kvproxy.terminal.progress import Progress

    if shape not in SHAPES:
        raise typer.BadParameter(f"{shape}: there are {', '.join(SHAPES)}", param_hint="--shape")
    with Progress("bench pages", unit="codecs") as progress:
        result = bench_pages(
            SHAPES[shape],
            pages=pages,
            codecs=(PLAIN, *(codec or ())),
            folder=folder,
            repeats=repeats,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_pages(result)
