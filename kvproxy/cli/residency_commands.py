"""`kvproxy docs pin|unpin|warm`: where a document's KV is: kept in memory, let go, brought there now."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from kvproxy.cli.options import HERE, Key, Url

residency = typer.Typer()

Document = Annotated[str, typer.Argument(help="handbook, or one version: handbook@3")]
Json = Annotated[bool, typer.Option("--json")]

_LIMITS = {
    "tenant-budget": "your documents pin as many pages as they may (documents.pin_share)",
    "pin-budget": "all documents together pin as many pages as they may (half of engine.page_budget)",
    "busy": "requests that run now have the memory; try again in a moment",
}

IN_PART = 3
"""The exit status of a pin that holds a part of the document."""


@residency.command()
def pin(
    document: Document,
    partial: Annotated[bool, typer.Option("--partial", help="Pin what fits, where not all does.")] = False,
    url: Url = HERE,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Keep a document's KV in memory, also after a restart. Status 3: only a part of it."""
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        found = client.pin(document, partial=partial)
    _print(found, "pinned, best effort: replicas keep it while they have room", as_json=as_json)
    raise typer.Exit(0 if found["limit"] is None else IN_PART)


@residency.command()
def unpin(document: Document, url: Url = HERE, api_key: Key = None, as_json: Json = False) -> None:
    """Let a document's KV make room for others; it stays on disk."""
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        found = client.unpin(document)
    _print(found, "pinned no more", as_json=as_json)


@residency.command()
def warm(document: Document, url: Url = HERE, api_key: Key = None, as_json: Json = False) -> None:
    """Bring a document's KV into memory now: from disk, or prefilled where it is on none. Nothing is generated."""
    from kvproxy.client import Client
    from kvproxy.terminal.progress import Progress

    with Client(url, api_key) as client, Progress(f"warm {document}") as progress:
        found = client.warm(document, progress=progress)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(
        f"{found['document']}: {found['after']:,} tokens in memory, {found['before']:,} before: "
        f"{found['loaded']:,} loaded, {found['computed']:,} computed, in {found['seconds']:.1f} s"
    )


def _print(found: dict[str, Any], of_fleet: str, *, as_json: bool) -> None:
    """``of_fleet``: what is done where a fleet's replicas have the KV, which counts no pages here."""
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    if not found["asked"]:
        typer.echo(f"{found['document']}: {of_fleet}")
        return
    lines = [
        f"{found['document']}: {found['pinned']} of {found['asked']} pages pinned; "
        f"{found['room']} of your {found['budget']} are left"
    ]
    lines += [
        f"  {f['framing']}: {f['pinned']} of {f['asked']}: {_LIMITS.get(f['limit'], f['limit'])}"
        for f in found["framings"]
        if f["limit"] is not None
    ]
    typer.echo("\n".join(lines))
