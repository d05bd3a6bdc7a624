"""``kvproxy bench dashboard --documents N``: the time until lists of many documents are answered, whole and over HTTP,
from the first one after a start on, and the longest stall of the event loop meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from kvproxy.bench.load import WrongAnswer, quantiles_ms
from kvproxy.bench.machine import machine
from kvproxy.bench.watched.dashboard_cost import cpu_s, session_to, watched
from kvproxy.bench.watched.open_views import cookie_of
from kvproxy.bench.watched.steady_load import SteadyLoad
from kvproxy.bench.watched.watched_server import KEYS, WatchedPlan

RATE = 5.0
"""Requests a second beside the lists, so that counts of reads change between them."""
_LISTS = "/ui/documents"


@dataclass(frozen=True, slots=True)
class ListCase:
    """One list. ``path``: its address; ``tenant``: who asks."""

    name: str
    tenant: str
    path: str


def list_cases(documents: int) -> Iterator[ListCase]:
    """Yield the lists that are asked for, in this order; the very first one comes before these."""
    for tenant in ("operator", "owner", "reader"):
        yield ListCase("by id", tenant, _LISTS)
        yield ListCase("by id, the last ones", tenant, f"{_LISTS}?start={documents - 40}")
        for column in ("tokens", "reads", "last", "saved", "created"):
            yield ListCase(f"by {column}", tenant, f"{_LISTS}?sort={column}&order=desc")
        yield ListCase(
            "by reads, rising, from the middle",
            tenant,
            f"{_LISTS}?sort=reads&order=asc&start={documents // 2}",
        )
        yield ListCase("search, many found", tenant, f"{_LISTS}?q=handbook")
        yield ListCase("search, few found, by reads", tenant, f"{_LISTS}?q=policy-0001&sort=reads&order=desc")
        yield ListCase("its own", tenant, f"{_LISTS}?own=1&sort=created&order=desc")
        yield ListCase("one document", tenant, f"{_LISTS}/a/published-01")
        yield ListCase("playground", tenant, "/ui/playground")
        yield ListCase("API, 50 ids", tenant, "/kv/v1/documents?limit=50")
        yield ListCase("API, 50 ids from the middle", tenant, "/kv/v1/documents?limit=50&after=manual")


def bench_lists(
    documents: int,
    *,
    model_folder: Path,
    times: int = 20,
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Ask for each list ``times`` times, of a library of public documents and of one of private ones. Milliseconds;
    processor time is that of the process.

    Raises SetupError when a server does not start, WrongAnswer when one does not do its work.

    Example: ``bench_lists(100_000, model_folder=folder)``
    """
    libraries = {}
    for visibility in ("public", "private"):
        with TemporaryDirectory(prefix="kvproxy-lists-") as scratch:
            plan = WatchedPlan(str(model_folder), scratch, documents, visibility, watch=True)
            with watched("lists", plan) as server:
                libraries[visibility] = asyncio.run(_measure(documents, times, server.url, told))
    return {"machine": machine(), "documents": documents, "times": times, "libraries": libraries}


async def _measure(documents: int, times: int, url: str, told: Callable[[str], None]) -> list[dict[str, Any]]:
    async with session_to(url) as session:
        first = ListCase("the first after the start, by id", "operator", _LISTS)
        rows = [await _row(session, first, 1)]
        load = asyncio.create_task(_beside(session))
        for case in list_cases(documents):
            # The first time in an order sorts it: it is told apart from the others.
            rows.append(await _row(session, case, 1) | {"first": True})
            rows.append(await _row(session, case, times))
            told(f"{case.tenant}, {case.name}: p50 {rows[-1]['p50']:.1f} ms, first {rows[-2]['p50']:.1f} ms")
        load.cancel()
        await asyncio.wait([load])
        if not load.cancelled():
            load.result()
    return rows


async def _beside(session: aiohttp.ClientSession) -> None:
    await SteadyLoad(session, RATE, ("owner",)).run(3600.0)


async def _row(session: aiohttp.ClientSession, case: ListCase, times: int) -> dict[str, Any]:
    seconds: list[float] = []
    cookie, key = cookie_of(case.tenant), {"Authorization": f"Bearer {KEYS[case.tenant]}"}
    await _stall(session, key)
    began = await cpu_s(session)
    size = 0
    for _ in range(times):
        started = time.perf_counter()
        async with session.get(case.path, cookies=cookie, headers=key, allow_redirects=False) as answer:
            size = len(await answer.read())
            if answer.status not in (200, 404 if "/a/published" in case.path else 200):
                raise WrongAnswer(f"{case.path} answered with {answer.status}")
        seconds.append(time.perf_counter() - started)
    spent = await cpu_s(session) - began
    quantiles = quantiles_ms(seconds if times > 1 else seconds * 2)
    return {
        "case": case.name,
        "tenant": case.tenant,
        "bytes": size,
        **{name: round(value, 1) for name, value in quantiles.items()},
        "cpu_ms": round(spent / times * 1000, 1),
        "stall_ms": round(await _stall(session, key), 1),
    }


async def _stall(session: aiohttp.ClientSession, key: dict[str, str]) -> float:
    async with session.get("/bench/stall", headers=key) as answer:
        return float((await answer.json())["wall_s"]) * 1000
