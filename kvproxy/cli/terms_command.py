"""`kvproxy docs terms`: show a document's terms, as its publisher has set them from the beginning."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kvproxy.cli.options import HERE, Key, Url

pricing = typer.Typer()


@pricing.command()
def terms(
    document: Annotated[str, typer.Argument(help="Its id, e.g. handbook.")],
    url: Url = HERE,
    api_key: Key = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what a read of a document costs, now and from the beginning."""
    from kvproxy.client import Client
    from kvproxy.terminal.terms_table import print_terms

    with Client(url, api_key) as client:
        found = client.terms(document)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_terms(found)
