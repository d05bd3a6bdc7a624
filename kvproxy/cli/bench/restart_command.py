"""``kvproxy bench restart``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import ConfigFile, Dtype, read_config, read_text


@bench.command("restart")
def bench_restart_command(
    config: ConfigFile = None,
    model: Annotated[
        str | None, typer.Option(help="A folder, smollm2-135m or a hub name.  [smollm2-135m]")
    ] = None,
    dtype: Dtype = None,
    file: Annotated[
        Path | None, typer.Option(help="The document is this text.  [GPL-3, about 7,500 tokens]")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Restart so many times.")] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Time from the start of a proxy to its first hit on a document that it has on disk."""
    settings = read_config(config, model__path=model or "smollm2-135m", model__dtype=dtype)
    from kvproxy.bench.page_tables import print_restart
    from kvproxy.bench.restart import bench_restart
    from kvproxy.example_documents import example_text
    from kvproxy.terminal.progress import Progress

    text = example_text("gpl-3.txt") if file is None else read_text(str(file))
    with Progress("bench restart", unit="restarts") as progress:
        result = bench_restart(settings, text=text, repeats=repeats, progress=progress)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_restart(result)
