"""``kvproxy bench codec``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import BenchModel, can_write, read_text, write_whole


@bench.command("codec")
def bench_codec_command(
    model: BenchModel = "smollm2-135m",
    file: Annotated[Path | None, typer.Option(help="The document.  [GPL-3]")] = None,
    pages: Annotated[int, typer.Option(min=1, help="Pages of 256 tokens, at most.")] = 12,
    repeats: Annotated[int, typer.Option(min=1, help="Take the best of so many.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """Compress a document's KV by each codec that is installed, and see what int8 would break."""
    from kvproxy.bench.codec_bench import bench_codec
    from kvproxy.bench.codec_table import print_codec
    from kvproxy.config import default_cache_dir
    from kvproxy.example_documents import example_text
    from kvproxy.terminal.progress import Progress

    can_write(json_file)
    text = example_text("gpl-3.txt") if file is None else read_text(str(file))
    with Progress("bench codec", unit="types") as progress:
        result = bench_codec(
            model, text, cache_dir=default_cache_dir(), pages=pages, repeats=repeats, progress=progress
        )
    print_codec(result)
    if json_file is not None:
        write_whole(json_file, json.dumps(result, indent=2) + "\n")
