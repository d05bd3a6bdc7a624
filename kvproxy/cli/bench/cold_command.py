"""``kvproxy bench cold``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import ConfigFile, Dtype, read_config, read_text


@bench.command("cold")
def bench_cold_command(
    config: ConfigFile = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A folder, smollm2-135m, a hub name, or a shape as of bench paper.  [Qwen/Qwen3-4B]"
        ),
    ] = None,
    dtype: Dtype = None,
    file: Annotated[Path | None, typer.Option(help="Prompts are cut from this text.  [GPL-3]")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Take the median of so many.")] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Time to the first token of a cold prompt, against transformers' generate()."""
    settings = read_config(config, model__path=model, model__dtype=dtype)
    from kvproxy.bench.cold import bench_cold
    from kvproxy.example_documents import example_text
    from kvproxy.terminal.progress import Progress
    from kvproxy.terminal.tables import print_cold

    text = example_text("gpl-3.txt") if file is None else read_text(str(file))
    with Progress("bench cold", unit="sizes") as progress:
        result = bench_cold(settings, text=text, repeats=repeats, progress=progress)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_cold(result)
