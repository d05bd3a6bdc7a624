"""``kvproxy bench dashboard``: the processor time of the dashboard, with nobody looking and with five views open, under
the same load and without any, beside a proxy that has none.

All three are loaded at the same time, request by request in turn, so that whatever disturbs the machine disturbs them
alike; the two with a dashboard take turns in who is looked at.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from kvproxy.bench.machine import machine
from kvproxy.bench.server_process import Child, announced
from kvproxy.bench.watched import watched_server
from kvproxy.bench.watched.open_views import FIVE, open_views
from kvproxy.bench.watched.steady_load import SteadyLoad
from kvproxy.bench.watched.watched_server import KEYS, WatchedPlan

OFF, CLOSED, OPEN = "no dashboard", "nobody looks", "five views open"
_WARM_S = 2.0


@dataclass(frozen=True, slots=True)
class DashboardCostPlan:
    """Length and number of the rounds, and the load."""

    seconds: float = 31.0
    """Of each round, once the views are loaded. Charts are rendered every 30 s, so once in it."""
    rounds: int = 4
    """Under load, and half of them without. The two proxies with a dashboard change their parts in each."""
    rate: float = 20.0
    """Requests a second to each proxy."""


@contextmanager
def watched(name: str, plan: WatchedPlan) -> Iterator[Child]:
    """Run a server while the block runs.

    Example: ``with watched("proxy", WatchedPlan(str(model), scratch)) as server: ...``
    """
    folder = Path(plan.folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.url"
    command = (sys.executable, "-m", watched_server.__name__, json.dumps(asdict(plan)), str(file))
    with Child(name, command, announced(file), folder) as server:
        yield server


def bench_dashboard(
    plan: DashboardCostPlan, *, model_folder: Path, told: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Measure. ``model_folder``: of the tokenizer and the chat template. Shares are of one core, and of the
    process alone: what else the machine does changes them little.

    Raises SetupError when a server does not start, WrongAnswer when one does not do its work.

    Example: ``bench_dashboard(DashboardCostPlan(), model_folder=folder)``
    """
    with TemporaryDirectory(prefix="kvproxy-watched-") as scratch, ExitStack() as opened:
        urls = []
        for name in (OFF, "one", "other"):
            folder = str(Path(scratch, name))
            server = WatchedPlan(str(model_folder), folder, dashboard=name != OFF)
            urls.append(opened.enter_context(watched(name, server)).url)
        measured = asyncio.run(_measure(plan, urls, told))
    return {"machine": machine(), "plan": asdict(plan), **measured}


async def _measure(
    plan: DashboardCostPlan, urls: Sequence[str], told: Callable[[str], None]
) -> dict[str, Any]:
    async with AsyncExitStack() as opened:
        sessions = [await opened.enter_async_context(session_to(url)) for url in urls]
        under_load = await _in_turns(plan, plan.rate, sessions, told)
        idle = await _in_turns(replace(plan, rounds=(plan.rounds + 1) // 2), 0.0, sessions, told)
    return {"under_load": under_load, "idle": idle}


def session_to(url: str) -> aiohttp.ClientSession:
    """Return a session with one proxy, without a bound on connections and without cookies of its own."""
    return aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_read=120.0),
    )


async def _in_turns(
    plan: DashboardCostPlan,
    rate: float,
    sessions: Sequence[aiohttp.ClientSession],
    told: Callable[[str], None],
) -> dict[str, Any]:
    shares: dict[str, list[float]] = {OFF: [], CLOSED: [], OPEN: []}
    loads = [SteadyLoad(session, rate) for session in sessions]
    await asyncio.gather(*(load.run(_WARM_S) for load in loads))
    events = 0
    off, one, other = sessions
    for number in range(plan.rounds):
        parts = {OFF: off, CLOSED: one, OPEN: other} if number % 2 else {OFF: off, CLOSED: other, OPEN: one}
        async with open_views(parts[OPEN], FIVE) as held:
            began, wall = [await cpu_s(session) for session in parts.values()], time.perf_counter()
            await asyncio.gather(*(load.run(plan.seconds) for load in loads))
            ended, took = [await cpu_s(session) for session in parts.values()], time.perf_counter() - wall
            events += sum(view.events for view in held)
        for name, before, after in zip(parts, began, ended, strict=True):
            shares[name].append((after - before) / took)
        told(f"{number + 1} of {plan.rounds}: " + ", ".join(f"{n} {s[-1]:.2%}" for n, s in shares.items()))
    return {
        "requests_per_s": rate,
        "shares": {name: [round(share, 5) for share in each] for name, each in shares.items()},
        "of_a_core": {name: round(statistics.median(each), 5) for name, each in shares.items()},
        "closed_more": difference(shares[CLOSED], shares[OFF]),
        "open_more": difference(shares[OPEN], shares[CLOSED]),
        "events_per_s": round(events / plan.rounds / plan.seconds, 2),
    }


def difference(one: list[float], other: list[float]) -> dict[str, float]:
    """Return the median, least and greatest difference of the rounds.

    Example: ``difference([0.30, 0.31], [0.29, 0.30])["median"]``
    """
    each = [a - b for a, b in zip(one, other, strict=True)]
    return {
        "median": round(statistics.median(each), 5),
        "least": round(min(each), 5),
        "greatest": round(max(each), 5),
    }


async def cpu_s(session: aiohttp.ClientSession) -> float:
    """Return the seconds of processor time that the process behind a session has used, all its threads together."""
    async with session.get("/bench/cpu", headers={"Authorization": f"Bearer {KEYS['operator']}"}) as answer:
        return float((await answer.json())["cpu_s"])
