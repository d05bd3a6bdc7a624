"""``kvproxy grants``: a publisher's grants of its own documents, over HTTP."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kvproxy.cli.keys_commands import AsJson
from kvproxy.cli.options import read_duration
from kvproxy.errors import SetupError

grants = typer.Typer(
    help="Let readers load your documents by reference; list and revoke grants.", no_args_is_help=True
)

Url = Annotated[str, typer.Option(envvar="KVPROXY_URL", help="The running proxy.")]
Key = Annotated[str | None, typer.Option("--api-key", envvar="KVPROXY_API_KEY", help="The publisher's key.")]

HERE = "http://127.0.0.1:8321"
_PATH = "/kv/v1/grants"


@grants.command("create")
def grants_create(
    document: Annotated[str, typer.Argument(help="All versions of handbook, or one: handbook@3")],
    tenant: Annotated[str | None, typer.Option(help="Grant it to this tenant.")] = None,
    key: Annotated[str | None, typer.Option(help="Grant it to the API key with this id.")] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Grant it to every caller.")] = False,
    price: Annotated[
        str | None, typer.Option(help="free, 40% of what a read saves, or 0.002 for a thousand tokens.")
    ] = None,
    max_reads: Annotated[int | None, typer.Option(min=0)] = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, help="Cached tokens, over all reads.")] = None,
    max_amount: Annotated[str | None, typer.Option(help="Money, over all reads, such as 10.00.")] = None,
    expires: Annotated[str | None, typer.Option(help="Such as 12h or 30d.  [never]")] = None,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Grant one of your documents to a tenant, to a key or to everybody."""
    readers = {"tenant": tenant, "key": key, "everybody": True if everybody else None}
    named = [(kind, reader) for kind, reader in readers.items() if reader is not None]
    if len(named) != 1:
        raise SetupError("name one reader: --tenant NAME, --key ID or --everybody")
    kind, reader = named[0]
    given = {
        "id": None if kind == "everybody" else reader,
        "price": price,
        "max_reads": max_reads,
        "max_tokens": max_tokens,
        "max_amount": max_amount,
        "expires_in_s": read_duration(expires),
    }
    body = {"document": document, "reader": kind, **{n: v for n, v in given.items() if v is not None}}
    made = _send("POST", _PATH, url, api_key, body)
    typer.echo(f"{made['id']}: {document} for {'everybody' if everybody else reader}")


@grants.command("list")
def grants_list(url: Url = HERE, api_key: Key = None, as_json: AsJson = False) -> None:
    """List the grants that this API key's tenant has made, revoked ones too."""
    from kvproxy.terminal.account_listing import print_grants

    found = _send("GET", _PATH, url, api_key)["data"]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        print_grants(found)
    else:
        typer.echo("no grants; make one with `kvproxy grants create DOCUMENT --tenant NAME`")


@grants.command("revoke")
def grants_revoke(
    grant: Annotated[str, typer.Argument(help="A grant's id, as `kvproxy grants list` shows it.")],
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """End a grant: no read that begins from now on can use it."""
    _send("DELETE", f"{_PATH}/{quote(grant, safe='')}", url, api_key)
    typer.echo(f"revoked {grant}")


def _send(
    method: str, path: str, url: str, api_key: str | None, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        return client.manage(method, path, body)
