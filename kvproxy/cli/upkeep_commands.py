"""`kvproxy check` and `kvproxy repair`: a whole store against its checksums, by itself or beside a running proxy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvproxy.cli.options import ConfigFile, Key, StoreFolder, read_config

if TYPE_CHECKING:
    from kvproxy.upkeep.store_faults import StoreCheck

Online = Annotated[
    str | None,
    typer.Option("--url", help="Ask the proxy at this address, which goes on serving.  [read the files]"),
]
Json = Annotated[bool, typer.Option("--json")]


def check(
    config: ConfigFile = None,
    store: StoreFolder = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every page, not a random 2 GiB of them.")
    ] = False,
    url: Online = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Check the whole store: registry, pages, manifests, objects, responses. Status 1: something is wrong.

    Nothing is changed. Without --url no proxy may have the store open: it is told so.

    Example: kvproxy check --config config.yaml --deep
    """
    if url is not None:
        from kvproxy.client import Client

        with Client(url, api_key) as client:
            found = client.manage("POST", "/kv/v1/check" + ("?deep=true" if deep else ""))
    else:
        from kvproxy.stack.offline_upkeep import check_offline

        found = _as_answer(check_offline(read_config(config, store__path=store), deep=deep))
    _print(found, as_json=as_json)
    raise typer.Exit(0 if found["sound"] else 1)


def repair(
    config: ConfigFile = None,
    store: StoreFolder = None,
    url: Online = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Mend the store: drop what is damaged, set damaged rows aside, rebuild indexes. Status 1: something is left.

    Pages that were dropped are computed again: by the next start, or at once beside a running proxy (--url).

    Example: kvproxy repair --config config.yaml
    """
    if url is not None:
        from kvproxy.client import Client

        with Client(url, api_key) as client:
            found = client.manage("POST", "/kv/v1/repair")
    else:
        from kvproxy.stack.offline_upkeep import repair_offline

        done = repair_offline(read_config(config, store__path=store))
        found = {
            "sound": not done.left,
            "mended": [fault.line for fault in done.mended],
            "faults": [fault.line for fault in done.left],
            "notes": list(done.notes),
        }
    _print(found, as_json=as_json)
    raise typer.Exit(0 if found["sound"] else 1)


def _as_answer(found: StoreCheck) -> dict[str, Any]:
    return {
        "sound": found.sound,
        "faults": [fault.line for fault in found.faults],
        "notes": list(found.notes),
        "looked": dict(found.looked),
    }


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for name, mark in (("mended", "mended"), ("faults", "FAULT"), ("notes", "note")):
        for line in found.get(name, ()):
            typer.echo(f"{mark}  {line}")
    looked = ", ".join(f"{number:,} {what}" for what, number in found.get("looked", {}).items())
    told = "sound" if found["sound"] else f"{len(found['faults'])} faults"
    typer.echo(f"{told}: {looked}" if looked else told)


def add_upkeep_commands(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("check")(check)
    app.command("repair")(repair)
