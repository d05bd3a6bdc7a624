"""`kvproxy docs list|show|delete|promote`: the published documents of a running proxy, and those it has learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from kvproxy.cli.options import HERE, Key, Url

if TYPE_CHECKING:
    from kvproxy.client import Client

docs = typer.Typer(help="List, show and delete published documents.", no_args_is_help=True)


def _client(url: str, api_key: str | None) -> Client:
    from kvproxy.client import Client

    return Client(url, api_key)


@docs.command("list")
def docs_list(
    learned: Annotated[
        bool, typer.Option("--learned", help="What was learned from requests, with what it saves.")
    ] = False,
    tenant: Annotated[
        str | None, typer.Option(help="With --learned, and an admin's key: another tenant's.")
    ] = None,
    url: Url = HERE,
    api_key: Key = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Every document that this API key may read."""
    with _client(url, api_key) as client:
        documents = client.documents(learned=learned, tenant=tenant)
    if as_json:
        typer.echo(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    if learned:
        from kvproxy.terminal.learned_table import print_learned

        print_learned(documents)
        return
    if not documents:
        typer.echo("no documents; publish one with `kvproxy publish FILE --id NAME`")
        return
    from kvproxy.terminal.tables import print_documents

    print_documents(documents)


@docs.command("show")
def docs_show(
    document: Annotated[str, typer.Argument(help="handbook, or one version: handbook@3, handbook@stable")],
    text: Annotated[bool, typer.Option("--text", help="Print the text itself instead.")] = False,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Show one document, as JSON, or its text."""
    with _client(url, api_key) as client:
        found = client.document(document, text=text)
    if text:
        typer.echo(found["text"], nl=False)
    else:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


@docs.command("delete")
def docs_delete(
    document: Annotated[str, typer.Argument(help="All versions of handbook, or one: handbook@3")],
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Forget a document and its pages, at once for new readers."""
    with _client(url, api_key) as client:
        client.delete(document)
    typer.echo(f"deleted {document}")


@docs.command("promote")
def docs_promote(
    learned: Annotated[str, typer.Argument(help="A learned document: learned/0f3a1b2c4d5e")],
    to: Annotated[str, typer.Option("--as", metavar="ID", help="The id of the document that it becomes.")],
    public: Annotated[
        bool | None, typer.Option("--public/--private", help="For all, or for its tenant alone.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="With an admin's key: the tenant whose it is.")] = None,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Publish what was learned under an id of its own."""
    visibility = None if public is None else "public" if public else "private"
    with _client(url, api_key) as client:
        info = client.promote(learned, to, visibility=visibility, tenant=tenant)["info"]
    typer.echo(f"{learned} is {info['id']}@{info['version']} now, {info['visibility']}")
