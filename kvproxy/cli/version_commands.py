"""`kvproxy docs touch|revoke|alias|usage`: how long versions are served, under which names, and how many they are."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from kvproxy.cli.options import HERE, Key, Url
from kvproxy.errors import SetupError

versions = typer.Typer()

Document = Annotated[str, typer.Argument(help="handbook, or one version: handbook@3")]


@versions.command()
def touch(
    document: Document,
    ttl: Annotated[int | None, typer.Option(min=1, help="Seconds from now to its end.")] = None,
    forever: Annotated[bool, typer.Option("--forever", help="It never ends.")] = False,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Set when a version ends; one that has expired is served again."""
    if (ttl is None) == (not forever):
        raise SetupError("say either --ttl SECONDS or --forever")
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        found = client.touch(document, ttl)
    typer.echo(f"{found['id']}@{found['version']} {_end(found['expires'])}")


@versions.command()
def revoke(
    document: Annotated[str, typer.Argument(help="All versions of handbook, or one: handbook@3")],
    reason: Annotated[str, typer.Option(help="Told to whoever names it.")],
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Never serve a version again, not to requests that wait either. There is no way back: publish a new one."""
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        revoked = client.revoke(document, reason)
    typer.echo(f"revoked {', '.join(revoked)}")


@versions.command()
def alias(
    name: Annotated[str, typer.Argument(help="The alias, as readers write it: handbook@stable")],
    version: Annotated[
        int | None, typer.Argument(min=1, help="A version.  [the current one]", show_default=False)
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it.")] = False,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Let a name like handbook@stable mean a version from now on."""
    document, _, named = name.rpartition("@")
    if not document or (delete and version is not None):
        raise SetupError("write an alias as handbook@stable, then a version, or --delete")
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        if delete:
            client.delete_alias(document, named)
            typer.echo(f"{name} means nothing any more")
        else:
            typer.echo(f"{name} is {client.set_alias(document, named, version)['document']}")


@versions.command()
def usage(
    url: Url = HERE, api_key: Key = None, as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """Show what this API key's tenant has published, and its quota."""
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        found = client.usage()
    typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for what in ("versions", "bytes", "tokens"):
        limit = found["quota"][what]
        name = "bytes of KV" if what == "bytes" else what
        lines.append(f"{found[what]:,} {name}" + ("" if limit is None else f" of {limit:,}"))
    return [
        *lines,
        *(
            f"{w['document']} {w['ending']}{': ' + w['reason'] if w['reason'] else ''}"
            for w in found["withdrawn"]
        ),
    ]


def _end(expires: int | None) -> str:
    return (
        "never ends"
        if expires is None
        else f"ends at {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(expires))}"
    )
