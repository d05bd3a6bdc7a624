"""``kvproxy receipt``, ``statement`` and ``host-key``: proofs are fetched here, and verified offline."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from kvproxy.cli.options import HERE, ConfigFile, Key, StoreFolder, Url, read_config, write_whole
from kvproxy.cli.proof_files import read_jwks, read_receipts, read_statement
from kvproxy.errors import KVProxyError, SetupError

receipt = typer.Typer(help="Fetch receipts of reads, and verify them offline.", no_args_is_help=True)
statement = typer.Typer(help="Fetch a publisher's statement, and verify it offline.", no_args_is_help=True)
host_key = typer.Typer(help="List and rotate the keys that the host signs with.", no_args_is_help=True)

Jwks = Annotated[str, typer.Option("--jwks", help="The host's keys: a file, a URL, or the host's address.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Until = Annotated[str | None, typer.Option("--to", help="Not included.  [now]")]
Since = Annotated[str | None, typer.Option("--from", help="2026-11-01, or Unix seconds.  [the beginning]")]


@receipt.command("fetch")
def receipt_fetch(
    id: Annotated[str, typer.Argument(help="A receipt's id (rcpt_…), or the id of your own answer.")],
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Print a receipt, or all of one request, as compact JWS, one a line."""
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        found = [client.receipt(id)] if id.startswith("rcpt_") else client.receipts(id)
    for one in found:
        typer.echo(one["jws"])


@receipt.command("verify")
def receipt_verify(
    file: Annotated[str, typer.Argument(help="Receipts as compact JWS, one a line, or JSON; - for stdin.")],
    jwks: Jwks,
    as_json: AsJson = False,
) -> None:
    """Verify receipts with nothing but the host's public keys, and print what they say. Status 1: one does not hold."""
    from kvproxy.receipts.canonical_jws import unverified_claims, verify_claims
    from kvproxy.receipts.receipt_claims import RECEIPT_TYP

    keys, refused, told = read_jwks(jwks), 0, []
    for text in read_receipts(file):
        try:
            claims = verify_claims(text, RECEIPT_TYP, keys).claims
        except KVProxyError as e:
            refused += 1
            name = str(unverified_claims(text).get("id", text))[:100]
            typer.echo(f"refused {name}: {e.message}", err=True)
            continue
        told.append(claims)
        if not as_json:
            typer.echo(_line(claims))
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    raise typer.Exit(1 if refused else 0)


def _line(claims: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(claims["iat"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"holds   {claims['id']}\n        {when} UTC  {claims['document']}  {claims['tokens']:,} tokens  "
        f"{claims['price']} {claims['currency']}, of it {claims['publisher_share']} for {claims['publisher']}"
    )


@statement.command("fetch")
def statement_fetch(
    since: Since = None,
    until: Until = None,
    publisher: Annotated[str | None, typer.Option(help="Of another publisher, as an admin.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write it here.  [stdout]")] = None,
    receipts: Annotated[bool, typer.Option(help="With all of its receipts.")] = True,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Fetch the signed statement of a period, with its receipts and the checkpoint that it names."""
    from kvproxy.client import Client

    with Client(url, api_key) as client:
        found = client.statement(publisher=publisher, since=since, until=until, receipts=receipts)
    text = json.dumps(found, indent=1) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    write_whole(out, text)
    sums = f"{found['reads']:,} reads, {found['tokens']:,} tokens, {found['publisher_share']} {found['currency']}"
    typer.echo(f"{out}: {sums} for {found['publisher']}")


@statement.command("verify")
def statement_verify(
    files: Annotated[list[str], typer.Argument(help="Statements of one publisher; several are compared.")],
    jwks: Jwks,
    receipts: Annotated[
        list[str] | None, typer.Option("--receipts", help="Further receipts in hand, such as a reader's.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="A checkpoint (a signed note) that was kept.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="The receipts in hand are not meant to be all.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify statements against receipts offline: each removed, changed and added read is named. Status 1: a fault."""
    from kvproxy.receipts.checkpoint_check import check_checkpoints
    from kvproxy.receipts.statement_check import check_statements

    keys = read_jwks(jwks)
    found = [read_statement(file) for file in files]
    in_hand = [one for file in receipts or () for one in read_receipts(file)]
    in_hand += [one for file in found for one in file.receipts]
    check = check_statements([one.jws for one in found], in_hand, keys, complete=not partial)
    notes = [one.checkpoint for one in found if one.checkpoint is not None]
    notes += [] if checkpoint is None else [_note(checkpoint)]
    faults = [*check.faults, *check_checkpoints([one.jws for one in found], notes, keys)]
    if as_json:
        told = [{"kind": fault.kind, "what": fault.what, "message": fault.message} for fault in faults]
        typer.echo(json.dumps({"reads": check.reads, "matched": check.matched, "faults": told}, indent=2))
    else:
        for fault in faults:
            typer.echo(f"{fault.kind:9} {fault.message}")
        total = _nano(check.publisher_nano)
        verdict = f"{len(faults)} faults" if faults else "all of it holds"
        typer.echo(f"{check.matched:,} of {check.reads:,} reads proven, {total} for the publisher; {verdict}")
    raise typer.Exit(1 if faults else 0)


def _nano(nano: int) -> str:
    from kvproxy.core import format_nano

    return format_nano(nano)


def _note(file: str) -> str:
    """Return the note in a file: the signed text itself, or the JSON of ``/kv/v1/checkpoint``."""
    from kvproxy.cli.options import read_text

    text = read_text(file)
    if not text.lstrip().startswith("{"):
        return text
    try:
        return str(json.loads(text)["note"])
    except (ValueError, KeyError, TypeError) as e:
        raise SetupError(f"{file} holds no checkpoint: fetch one from /kv/v1/checkpoint") from e


@host_key.command("list")
def host_key_list(config: ConfigFile = None, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """List the host's keys, the newest first, with the time from which each signs; --json prints the JWKS."""
    keys = _host_keys(config, store)
    if as_json:
        typer.echo(json.dumps(keys.jwks(), indent=2))
        return
    for key in reversed(keys.keys):
        began = datetime.fromtimestamp(key.from_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        typer.echo(f"{key.id}  signs from {began if key.from_ms else 'the beginning'}")


@host_key.command("rotate")
def host_key_rotate(config: ConfigFile = None, store: StoreFolder = None) -> None:
    """Add a key that signs from a minute on. Running proxies take it by themselves; the old keys go on verifying."""
    key = _host_keys(config, store).rotate()
    when = datetime.fromtimestamp(key.from_ms / 1000, UTC).strftime("%H:%M:%S UTC")
    typer.echo(f"{key.id} signs from {when}; publish the new JWKS where you have copies of it")


def _host_keys(config: Path | None, store: Path | None) -> Any:
    from kvproxy.receipts.host_keys import HostKeys

    return HostKeys.open(read_config(config, store__path=store).store.path)
