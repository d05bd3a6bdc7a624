"""`kvproxy serve`: the proxy in the foreground, until it is told to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvproxy.cli.options import (
    ConfigFile,
    Dtype,
    Fleet,
    Model,
    StoreFolder,
    fleet_of,
    read_config,
    write_whole,
)
from kvproxy.cli.serve_output import progress_stream, say

if TYPE_CHECKING:
    from kvproxy.config import Config


def serve(
    config: ConfigFile = None,
    model: Model = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one.  [8321]")] = None,
    store: StoreFolder = None,
    dtype: Dtype = None,
    audit: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of hits to check in idle time.  [0]", show_default=False),
    ] = None,
    fleet: Fleet = None,
    announce_file: Annotated[
        Path | None, typer.Option(help="Write the base URL here once requests are served.")
    ] = None,
) -> None:
    """Start the proxy; ends on Ctrl-C or SIGTERM after its streams are done."""
    settings = read_config(
        config,
        model__path=None if fleet else model,
        fleets=fleet_of(fleet, model, dtype=dtype, audit=audit),
        server__host=host,
        server__port=port,
        store__path=store,
        model__dtype=dtype,
        engine__audit=None if fleet else audit,
    )
    raise typer.Exit(_serve(settings, announce_file))


def _serve(settings: Config, announce_file: Path | None) -> int:
    """Serve until it is told to end; return the process's status."""
    from kvproxy.runtime.garbage_collection import uncollected_imports

    with uncollected_imports():
        from kvproxy.serve import run_server
        from kvproxy.terminal.progress import Progress

    form = settings.telemetry.log_format

    def announce(bound_host: str, bound_port: int) -> None:
        url = _base_url(bound_host, bound_port)
        say(f"serving {', '.join(settings.served_names)} at {url}/v1", form)
        if announce_file is not None:
            write_whole(announce_file, url + "\n")

    preparing = f"preparing {settings.served_names[0]}"
    with Progress(preparing, unit="tensors", stream=progress_stream(form)) as progress:
        return run_server(settings, announce=announce, progress=progress)


def _base_url(host: str, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
