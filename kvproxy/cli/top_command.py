"""`kvproxy top` and `kvproxy status`: the figures of a running proxy, live, and on one screen."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvproxy.cli.options import HERE, Key, Url

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kvproxy.client import Client

figures = typer.Typer()

Tenant = Annotated[
    str | None,
    typer.Option(help="Another tenant, or all; needs a key with the scope admin.", show_default=False),
]

NOT_READY, UNREACHABLE = 1, 2
"""Exit statuses of ``kvproxy status``."""

_NEWEST = 10


@figures.command()
def top(
    url: Url = HERE,
    api_key: Key = None,
    tenant: Tenant = None,
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One frame, as without a terminal.")] = False,
) -> None:
    """Show what is saved, how fast hits are beside misses, the engine and the newest requests. Ctrl-C ends it.

    It looks again when one of this key's requests has ended, and after --every seconds.
    """
    from rich.console import Console
    from rich.live import Live

    from kvproxy.cli.ended_requests import EndedRequests
    from kvproxy.client import Client

    tty = sys.stdout.isatty()
    shown = Console(file=sys.stdout, width=None if tty else shutil.get_terminal_size((120, 0)).columns)
    with Client(url, api_key) as client, suppress(KeyboardInterrupt):
        first = _frame(client, tenant, shown.width)
        if once or not tty:
            shown.print(first)
            return
        screen = Screen(client, tenant, first)
        # Another tenant's requests are in no feed of this key's: its figures are only looked at from time to time.
        feed = EndedRequests(lambda: Client(url, api_key)) if tenant is None else nullcontext()
        with feed as ended, Live(first, console=shown, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(every) if ended is None else ended.wait(every)
                live.update(screen.again(shown.width), refresh=True)


@figures.command()
def status(
    url: Url = HERE,
    api_key: Key = None,
    tenant: Tenant = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show on one screen whether a proxy is ready, its models, documents, store and figures. Status 0: ready; 1: not;
    2: unreachable."""
    from kvproxy.client import Client
    from kvproxy.terminal.status_text import status_text
    from kvproxy.terminal.tables import console

    with Client(url, api_key) as client:
        found = _status(client, tenant)
    if as_json:
        told = {name: found[name] for name in ("ready", "reason", "overview", "why")}
        typer.echo(json.dumps({"url": url, **told}, indent=2, ensure_ascii=False))
    else:
        console().print(status_text(url, found["reason"], found["overview"], found["why"]))
    raise typer.Exit(found["status"])


def _status(client: Client, tenant: str | None) -> dict[str, Any]:
    from kvproxy.client import RequestFailed

    found: dict[str, Any] = {"ready": True, "reason": None, "status": 0, "overview": None, "why": ""}
    try:
        client.ready()
    except RequestFailed as e:
        unreachable = e.answered is None
        found |= {"ready": False, "reason": e.message, "status": UNREACHABLE if unreachable else NOT_READY}
        if unreachable:
            return found
    try:
        found["overview"] = client.overview(tenant=tenant, points=0)
    except RequestFailed as e:
        found["why"] = e.message
    return found


def _frame(client: Client, tenant: str | None, width: int) -> RenderableType:
    from kvproxy.terminal.top_frame import top_frame

    overview = client.overview(tenant=tenant)
    if tenant is None:
        newest = client.ended(last=_NEWEST)[::-1]
    else:
        newest = client.misses(most=_NEWEST, tenant=tenant)
    return top_frame(overview, newest, width)


class Screen:
    """The frames of ``kvproxy top``. Of a proxy that is away the last figures stay, below the reason and the time."""

    def __init__(self, client: Client, tenant: str | None, first: RenderableType) -> None:
        self._client, self._tenant = client, tenant
        self._last, self._seen = first, time.time()

    def again(self, width: int) -> RenderableType:
        """Return the next frame.

        Example: ``live.update(screen.again(console.width), refresh=True)``
        """
        from rich.console import Group
        from rich.text import Text

        from kvproxy.client import RequestFailed

        try:
            self._last, self._seen = _frame(self._client, self._tenant, width), time.time()
        except RequestFailed as e:
            seen = time.strftime("%H:%M:%S", time.localtime(self._seen))
            told = f"{time.strftime('%H:%M:%S')}  {e.message}\nThe figures below are of {seen}."
            return Group(Text(told, style="bold red"), "", self._last)
        return self._last
