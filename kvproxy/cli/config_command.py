"""``kvproxy config check``: the settings, before a server starts."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from kvproxy.cli.options import ConfigFile, StoreFolder

config_group = typer.Typer(help="Check the configuration.", no_args_is_help=True)


@config_group.command("check")
def config_check(
    config: ConfigFile = None,
    store: StoreFolder = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not reach the database.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Read the configuration as the server would, with every secret that it names; starts and changes nothing.

    One finding a line: ok, warn or fail. Status 2: a server would not start. No secret is printed. Whether the model
    can be computed here is left to `kvproxy doctor`; replicas of fleets are checked by the server as they come up.
    """
    from kvproxy.cli.config_findings import config_findings

    overrides = {} if store is None else {"store.path": store}
    findings = list(config_findings(config, overrides, offline=offline))
    failed = any(found.level == "fail" for found in findings)
    if as_json:
        told = {"starts": not failed, "findings": [asdict(found) for found in findings]}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for found in findings:
            line = "; ".join(part for part in (found.what, found.advice) if part)
            typer.echo(f"{found.level:4} {found.check}: {' '.join(line.split())}")
    if failed:
        raise typer.Exit(2)
