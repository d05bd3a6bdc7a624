"""``kvproxy bench stall``: the longest stall of the event loop while the largest bodies are served beside streams."""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from kvproxy.bench.fake_server import MODEL
from kvproxy.bench.machine import machine
from kvproxy.bench.server_process import Child, announced
from kvproxy.bench.stalls import stall_server
from kvproxy.bench.stalls.stall_cases import CASES, StallCase

QUIET_S = 5.0
"""Seconds for which the streams are watched alone."""
SETTLE_S = 0.3
"""Seconds of watching after each case: the work that it left behind belongs to it."""
_ANSWER = 200
"""Tokens of a stream, of which the server sends one every 20 ms."""


@dataclass(frozen=True, slots=True)
class StallPlan:
    """Counts and sizes of ``kvproxy bench stall``."""

    streams: int = 64
    documents: int = 10_000
    body: int = stall_server.MAX_BODY
    """Bytes of a body at most."""
    cases: Sequence[StallCase] = CASES


def measure_stalls(
    plan: StallPlan, *, model_folder: Path, told: Callable[[Mapping[str, Any]], None] | None = None
) -> dict[str, Any]:
    """``model_folder``: of the tokenizer and the chat template. Times in milliseconds. Raises SetupError when the
    server does not start or ends. ``told`` is called with each case's row as the case ends.

    Example: ``measure_stalls(StallPlan(), model_folder=folder)``
    """
    with tempfile.TemporaryDirectory(prefix="kvproxy-stall-") as scratch:
        file = Path(scratch) / "server.url"
        arguments = (str(model_folder), scratch, str(plan.documents), str(file))
        command = (sys.executable, "-m", stall_server.__name__, *arguments)
        with Child("stall-server", command, announced(file), Path(scratch)) as server:
            rows = asyncio.run(_measure(plan, server, told or (lambda row: None)))
    return {
        "machine": machine(),
        "plan": {"streams": plan.streams, "documents": plan.documents, "body": plan.body},
        "quiet": rows[0],
        "cases": rows[1:],
    }


async def _measure(
    plan: StallPlan, server: Child, told: Callable[[Mapping[str, Any]], None]
) -> list[dict[str, Any]]:
    timeout = aiohttp.ClientTimeout(total=600.0)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, timeout=timeout, connector=connector) as session:
        async with _streams(session, plan.streams):
            await asyncio.sleep(0.5)
            await _longest(session)
            await asyncio.sleep(QUIET_S)
            rows = [{"case": "streams alone", **await _longest(session)}]
            for case in plan.cases:
                body = None if case.body is None else await asyncio.to_thread(case.body, plan.body)
                await _longest(session)
                begun, cpu = time.perf_counter(), server.cpu_s()
                statuses = [await _send(session, case, body) for _ in range(case.times)]
                seconds = (time.perf_counter() - begun) / case.times
                await asyncio.sleep(SETTLE_S)
                row = {
                    "case": case.name,
                    "bytes": len(body or b""),
                    "status": statuses[-1],
                    "seconds": round(seconds, 3),
                    "cpu_s": round((server.cpu_s() - cpu) / case.times, 3),
                    "rss": server.rss(),
                    **await _longest(session),
                }
                rows.append(row)
                told(row)
    return rows


async def _longest(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.get("/stall") as answer:
        stall = await answer.json()
    return {
        "stall_ms": round(stall["wall_s"] * 1000, 2),
        "loop_cpu_ms": round(stall["loop_cpu_s"] * 1000, 2),
        "collecting_ms": round(stall["collecting_s"] * 1000, 2),
        "running": stall["running"],
    }


async def _send(session: aiohttp.ClientSession, case: StallCase, body: bytes | None) -> str:
    """Describe the outcome in a few words."""
    try:
        async with session.request(case.method, case.path, data=body) as answer:
            told = await answer.read()
            if answer.status == 200:
                return "200"
            return f"{answer.status} {told[:160].decode('utf-8', 'replace')}"
    except aiohttp.ClientError as e:
        return type(e).__name__


@asynccontextmanager
async def _streams(session: aiohttp.ClientSession, count: int) -> AsyncIterator[None]:
    """Within the block, so many answers are being written."""
    tasks = [asyncio.create_task(_stream(session, number, number / count)) for number in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stream(session: aiohttp.ClientSession, number: int, begun: float) -> None:
    """Answers without end. ``begun``: the part of the first one that is left out, so that not all end at once."""
    message = {"role": "user", "content": f"Stream {number}"}
    body = {"model": MODEL, "stream": True, "max_tokens": _ANSWER, "messages": [message]}
    first = {**body, "max_tokens": max(1, int(_ANSWER * (1 - begun)))}
    for asked in itertools.chain([first], itertools.repeat(body)):
        async with session.post("/v1/chat/completions", json=asked) as answer:
            async for _ in answer.content:
                pass
