"""``kvproxy catalog`` and ``kvproxy quote``: documents on offer, and the price of a read before it is paid."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

import typer

from kvproxy.cli.options import HERE, Key, Url, read_text

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def catalog(
    id: Annotated[str | None, typer.Option("--id", help="The beginning of a document's id.")] = None,
    publisher: Annotated[str | None, typer.Option(help="One publisher's documents.")] = None,
    sha256_of: Annotated[str | None, typer.Option("--sha256-of", help="Find the text of this file.")] = None,
    url: Url = HERE,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the documents on offer to this API key, with what a read of each costs from kept KV and cold.

    Example: kvproxy catalog --sha256-of handbook.md
    """
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        digests = [None] if sha256_of is None else _digests(read_text(sha256_of))
        pages = (client.catalog(id=id, publisher=publisher, sha256=digest) for digest in digests)
        found = next((entries for entries in pages if entries), [])
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for entry in found:
        typer.echo(_entry_line(entry))
    if not found:
        typer.echo("nothing on offer is like that")
        raise typer.Exit(1)


def quote(
    file: Annotated[
        str, typer.Argument(help="A chat request in JSON, a text, - for stdin, or a document: handbook@3")
    ],
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of the answer, for a text or document.")
    ] = None,
    url: Url = HERE,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Print what a request, a document or a text would cost now, from kept KV and cold. Nothing is generated.

    Example: kvproxy quote request.json
    """
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        found = _quoted(client, file, max_tokens)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    currency, why = found["hit"]["currency"], found["reason"] or "its pages are kept"
    typer.echo(
        f"{found['decision']}: {found['cached_tokens']:,} of {found['prompt_tokens']:,} prompt tokens ({why})\n"
        f"now {found['hit']['amount']} {currency}, cold {found['miss']['amount']}, saves {found['saved']['amount']}; "
        f"at most {found['most']['amount']} with {found['max_tokens']:,} tokens of answer"
    )
    for one in found["documents"]:
        typer.echo(f"  {one['document']} of {one['publisher']}: {one['tokens']:,} tokens")


def _quoted(client: Any, file: str, max_tokens: int | None) -> dict[str, Any]:
    """Quote a file: a request where it is a JSON object with messages, else a text; or what no file is: a document."""
    from pathlib import Path

    if file != "-" and not Path(file).exists():
        found: dict[str, Any] = client.quote(document=file, max_tokens=max_tokens)
        return found
    text = read_text(file)
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        request = None
    if isinstance(request, dict) and "messages" in request:
        asked: dict[str, Any] = client.quote(request)
        return asked
    found = client.quote(sha256=_digests(text)[-1], max_tokens=max_tokens)
    return found


def _digests(text: str) -> list[str | None]:
    """Return the sha256 of a text as it is, and of its spelling without the white space around it."""
    return [hashlib.sha256(one.encode("utf-8")).hexdigest() for one in (text, text.strip("\ufeff \t\r\n"))]


def _entry_line(entry: dict[str, Any]) -> str:
    prices = [
        f"{model}: {price['read']['amount']} {price['read']['currency']} a read, cold {price['cold']['amount']}"
        for model, price in entry["price"].items()
    ]
    verified = entry["verified"]
    bits = "" if verified is None else ", verified exact" if verified["exact"] else ", verified NOT exact"
    tokens = max(entry["tokens"].values(), default=0)
    return (
        f"{entry['document']}  {tokens:,} tokens  by {entry['publisher']}  {'; '.join(prices) or 'free'}"
        f"  ({entry['licence'] or 'no licence named'}, {entry['reads']:,} reads{bits})"
    )
