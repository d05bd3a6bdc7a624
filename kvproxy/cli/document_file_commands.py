"""`kvproxy docs manifest`, `export`, `import` and `inspect`: signed manifests, and documents in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kvproxy.cli.options import HERE, Key, Url
from kvproxy.cli.proof_files import read_jwks
from kvproxy.errors import SetupError

document_files = typer.Typer()

VisibilityChoice = Literal["public", "granted", "private"]
Jwks = Annotated[
    str | None,
    typer.Option(
        "--jwks", help="The signing host's keys: a file, a URL, or the host's address.", show_default=False
    ),
]


@document_files.command()
def manifest(
    document: Annotated[str, typer.Argument(help="handbook, or one version: handbook@3")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the signature. Status 1: it is wrong.")
    ] = False,
    jwks: Jwks = None,
    url: Url = HERE,
    api_key: Key = None,
    as_jws: Annotated[bool, typer.Option("--jws", help="Print the compact JWS alone.")] = False,
) -> None:
    """Show the signed manifest of a document: text, tokens, engine, pages, terms, and what was verified."""
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        found = client.manifest(document)
        keys = (read_jwks(jwks) if jwks else client.host()["jwks"]) if verify else None
    if keys is not None:
        from kvproxy.manifests.manifest import MANIFEST_TYP
        from kvproxy.receipts.canonical_jws import verify_claims

        signed = verify_claims(found["jws"], MANIFEST_TYP, keys)
        typer.echo(f"the signature of {signed.claims['iss']} holds (key {signed.key_id})", err=True)
        found["claims"] = signed.claims
    typer.echo(found["jws"] if as_jws else json.dumps(found["claims"], indent=2, ensure_ascii=False))


@document_files.command("export")
def export_document(
    document: Annotated[str, typer.Argument(help="handbook, or one version: handbook@3")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")],
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Write an own document with its KV to a file that other hosts can import."""
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        size = client.export_document(document, out)
    typer.echo(f"{out}: {size / 2**20:,.1f} MiB")


@document_files.command("import")
def import_document(
    file: Annotated[Path, typer.Argument(help="A file that `kvproxy docs export` wrote.")],
    document: Annotated[str | None, typer.Option("--as", help="Publish it under another id.")] = None,
    visibility: Annotated[
        VisibilityChoice | None, typer.Option(help="As for a publish.", show_default=False)
    ] = None,
    text_only: Annotated[bool, typer.Option("--text-only", help="Prefill it here.")] = False,
    require_pages: Annotated[
        bool, typer.Option("--require-pages", help="Fail where the file's KV does not fit this engine.")
    ] = False,
    pin: Annotated[bool | None, typer.Option("--pin/--unpin", help="Keep its KV in memory.")] = None,
    jwks: Jwks = None,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Publish a document from a file, with its KV where it fits: signature, digests and a sample are checked."""
    if text_only and require_pages:
        raise typer.BadParameter("--text-only and --require-pages exclude each other")
    from kvproxy.client import Client
    from kvproxy.terminal.progress import Progress

    chosen: dict[str, Any] = {
        "document": document,
        "visibility": visibility,
        "pages": "none" if text_only else "required" if require_pages else "auto",
        "pinned": pin,
        "jwks": read_jwks(jwks) if jwks else None,
    }
    with Client(url, api_key) as client, Progress(f"import {file.name}") as progress:
        result = client.import_document(file, **chosen, progress=progress)
    typer.echo(_imported(result))


@document_files.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A file that `kvproxy docs export` wrote.")],
    jwks: Jwks = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest's claims.")] = False,
) -> None:
    """Check a file offline: its digests, and with --jwks its signature. Whether its KV is right only an import says."""
    import asyncio

    from kvproxy.document_files.file_check import check_file

    if not file.is_file():
        raise SetupError(f"{file} is no file")
    checked = asyncio.run(check_file(file, read_jwks(jwks) if jwks else None))
    if as_json:
        typer.echo(json.dumps(checked.claims, indent=2, ensure_ascii=False))
        return
    told, signed = (
        checked.manifest.document,
        "signature holds" if jwks else "signature not checked: give --jwks",
    )
    typer.echo(
        f"{told.id}@{told.version} of {checked.manifest.host}: {told.tokens:,} tokens, {checked.pages} pages"
    )
    typer.echo(f"text and pages have the digests of the manifest; {signed}")


def _imported(result: dict[str, Any]) -> str:
    info, source = result["info"], result["source"]
    if not result["created"]:
        return f"{info['id']}@{info['version']}: already published"
    how = f"{result['pages']} pages taken, {result['checked']} of them computed again"
    if not result["pages"]:
        how = f"prefilled here in {result['prefill_s']:.1f} s"
    note = f"\n{result['note']}" if result["note"] else ""
    return (
        f"{info['id']}@{info['version']}: {info['tokens']:,} tokens, {info['visibility']}, from {source['document']} "
        f"of {source['host']}, {how}{note}"
    )
