"""``kvproxy bench quote``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kvproxy.cli.bench.bench_group import bench
from kvproxy.cli.options import ConfigFile, Dtype, Model, read_config, read_text


@bench.command("quote")
def bench_quote_command(
    config: ConfigFile = None,
    model: Model = None,
    dtype: Dtype = None,
    file: Annotated[Path | None, typer.Option(help="The document to be quoted.  [GPL-3]")] = None,
    new_tokens: Annotated[int, typer.Option(min=16, help="Length of an answer, at most.")] = 200,
    repeats: Annotated[int, typer.Option(min=1, help="Take the median of so many.")] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Tokens per second with and without drafts from the prompt, against transformers' prompt lookup. Fails when a
    draft changed an answer."""
    settings = read_config(config, model__path=model, model__dtype=dtype)
    from kvproxy.bench.quote import bench_quote, print_quote
    from kvproxy.example_documents import example_text
    from kvproxy.terminal.progress import Progress

    text = example_text("gpl-3.txt") if file is None else read_text(str(file))
    with Progress("bench quote", unit="answers") as progress:
        result = bench_quote(settings, text=text, new_tokens=new_tokens, repeats=repeats, progress=progress)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_quote(result)
    if not all(row["equal"] for row in result["quote"]):
        raise typer.Exit(1)
