"""``kvproxy bench proxy``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import can_write, read_text, write_whole


@bench.command("proxy")
def bench_proxy_command(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer requests: a first look.")] = False,
    model: Annotated[
        str, typer.Option(help="What the proxy loads beside; it is never run.")
    ] = "smollm2-135m",
    file: Annotated[Path | None, typer.Option(help="The known document is this text.  [GPL-3]")] = None,
    litellm: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A litellm command with its proxy; otherwise it is installed."
        ),
    ] = None,
    no_litellm_proxy: Annotated[bool, typer.Option("--no-litellm-proxy", help="Leave it out.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """Time that the proxy adds to a request, beside litellm's own proxy, and its time for a hit."""
    from kvproxy.bench.litellm_proxy import install
    from kvproxy.bench.proxy import QUICK, ProxyBenchPlan, bench_proxy
    from kvproxy.bench.table import print_proxy
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model
    from kvproxy.example_documents import example_text
    from kvproxy.terminal.progress import Progress

    can_write(json_file)
    text = example_text("gpl-3.txt") if file is None else read_text(str(file))
    with Progress(f"preparing {model}", unit="tensors") as progress:
        folder = resolve_model(model, revision=None, cache_dir=default_cache_dir(), progress=progress)
    if litellm is None and not no_litellm_proxy:
        litellm = install(default_cache_dir(), lambda what: typer.echo(what, err=True))
    with Progress("bench proxy", unit="series") as progress:
        result = bench_proxy(
            QUICK if quick else ProxyBenchPlan(),
            model=model,
            model_folder=folder.path,
            text=text,
            litellm=None if no_litellm_proxy else litellm,
            progress=progress,
        )
    print_proxy(result)
    if json_file is not None:
        write_whole(json_file, json.dumps(result, indent=2) + "\n")
