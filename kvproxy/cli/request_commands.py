"""Commands about requests: ``watch`` shows them as they end, ``explain`` tells why one would miss."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvproxy.cli.options import HERE, Key, Url
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from rich.console import Console

seeing = typer.Typer()


@seeing.command()
def watch(
    last: Annotated[int, typer.Option(min=0, max=500, help="How many that have ended already.")] = 20,
    url: Url = HERE,
    api_key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object on each line.")] = False,
) -> None:
    """Show this API key's requests as they end: the client, the cached tokens, the cause of a miss. Ctrl-C ends it."""
    from kvproxy.cli.watch import head, line
    from kvproxy.client import Client
    from kvproxy.terminal.tables import console

    shown = console()
    with Client(url, api_key) as client, suppress(KeyboardInterrupt):
        if not as_json:
            client.ended(last=0)  # an error is alone on its line, without a table's head above it
            shown.print(head(_width(shown)), style="bold", highlight=False, soft_wrap=True)
        for entry in client.requests(last=last):
            if as_json:
                typer.echo(json.dumps(entry, ensure_ascii=False))
            else:
                shown.print(line(entry, _width(shown)), soft_wrap=True)


def _width(shown: Console) -> int | None:
    """Return the columns of a terminal, which may change while it is watched; None for a pipe or a file."""
    return shown.width if sys.stdout.isatty() else None


@seeing.command()
def explain(
    request: Annotated[Path, typer.Argument(help="The body of a request, as JSON; - for stdin.")],
    against: Annotated[
        str | None,
        typer.Option(help="Compare with this document: handbook, or handbook@3.", show_default=False),
    ] = None,
    previous: Annotated[
        bool, typer.Option("--previous", help="Compare with this tenant's earlier requests alone.")
    ] = False,
    url: Url = HERE,
    api_key: Key = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show why a request would miss: the first difference from a document or an earlier request. Sends nothing to the
    model.

    The file holds what a client would send to /v1/chat/completions, /v1/responses or /v1/messages. Status 0: a hit, or
    nothing differs; 1: a miss.
    """
    if against is not None and previous:
        raise typer.BadParameter("give either --against or --previous")
    from kvproxy.client import Client
    from kvproxy.terminal.explanation_text import explanation_text
    from kvproxy.terminal.tables import console

    body = _read_request(request)
    with Client(url, api_key) as client:
        told = client.explain(body, against=against, previous=previous)
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        console().print(explanation_text(told), soft_wrap=True)
    raise typer.Exit(1 if told["outcome"] == "miss" else 0)


def _read_request(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises SetupError."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        body = json.loads(text)
    except (OSError, ValueError, RecursionError) as e:
        raise SetupError(f"{path} cannot be read as JSON: {e}; it holds what a client would send") from e
    if not isinstance(body, dict):
        raise SetupError(f"{path} holds no JSON object; it holds what a client would send")
    return body
