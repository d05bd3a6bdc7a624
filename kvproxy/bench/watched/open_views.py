"""`open_views`: views of the dashboard as browsers hold them open: each is loaded, then its live fragments followed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from kvproxy.bench.load import WrongAnswer
from kvproxy.bench.watched.watched_server import KEYS, SECRET
from kvproxy.server.dashboard.dashboard_session import COOKIE, DashboardSession, SessionSeal

FIVE = (
    ("operator", "/ui/overview"),
    ("operator", "/ui/requests"),
    ("operator", "/ui/store"),
    ("owner", "/ui/overview"),
    ("reader", "/ui/requests"),
)
"""Tenants and the views that they look at: every kind of live fragment but the fleet's, and three scopes."""
_LIVE = re.compile(r'data-live="([a-z-]+)"')


@dataclass(slots=True)
class HeldView:
    """One view that is held open."""

    path: str
    fragments: tuple[str, ...]
    events: int = 0
    """Fragments that arrived so far."""
    size: int = 0
    """Bytes of them."""


def cookie_of(tenant: str) -> dict[str, str]:
    """Return the cookie of a new session, so that no login comes before the first view.

    Example: ``session.get("/ui/documents", cookies=cookie_of("operator"))``
    """
    return {COOKIE: SessionSeal(SECRET).seal(DashboardSession.begin(KEYS[tenant], time.time()))}


@asynccontextmanager
async def open_views(
    session: aiohttp.ClientSession, views: Sequence[tuple[str, str]]
) -> AsyncIterator[list[HeldView]]:
    """Hold views open while the block runs; it begins when each has sent all its fragments once. Raises WrongAnswer.

    Example: ``async with open_views(session, FIVE) as held: ...``
    """
    held: list[HeldView] = []
    first: list[asyncio.Event] = []
    async with asyncio.TaskGroup() as following:
        tasks = []
        for tenant, path in views:
            cookie = cookie_of(tenant)
            async with session.get(path, cookies=cookie, allow_redirects=False) as answer:
                fragments = tuple(dict.fromkeys(_LIVE.findall(await answer.text())))
                if answer.status != 200 or not fragments:
                    raise WrongAnswer(
                        f"{path} answered with {answer.status} and {len(fragments)} live fragments"
                    )
            held.append(HeldView(path, fragments))
            first.append(asyncio.Event())
            tasks.append(following.create_task(_follow(session, cookie, held[-1], first[-1])))
        for came in first:
            await came.wait()
        yield held
        for task in tasks:
            task.cancel()


async def _follow(
    session: aiohttp.ClientSession, cookie: dict[str, str], view: HeldView, first: asyncio.Event
) -> None:
    query = {"live": ",".join(view.fragments)}
    async with session.get("/ui/events", params=query, cookies=cookie) as answer:
        if answer.status != 200:
            raise WrongAnswer(f"the events of {view.path} answered with {answer.status}")
        async for line in answer.content:
            if line.startswith(b"data: "):
                view.events += 1
                view.size += len(line)
                if view.events >= len(view.fragments):
                    first.set()
