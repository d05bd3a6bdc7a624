"""``kvproxy bench traces``: the processor time of a request without traces, with them but not sampled, and with each
one sent to a collector, in turns."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from kvproxy.bench.machine import machine
from kvproxy.bench.watched.dashboard_cost import cpu_s, session_to, watched
from kvproxy.bench.watched.steady_load import SteadyLoad
from kvproxy.bench.watched.watched_server import WatchedPlan

NONE, UNSAMPLED, SAMPLED = "off", "on, not sampled", "on"
TURN = 10
"""Requests to one server before the next one's turn: what disturbs the machine disturbs all alike."""
SETTLE_S = 5.5
"""Seconds after each round within which the exporter has sent its spans: it waits 5 s for a batch to fill."""


class CountingCollector(ThreadingHTTPServer):
    """Takes spans, and counts the bytes of them; it parses nothing, so that it takes little of the machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collecting)
        self.received = 0


class _Collecting(BaseHTTPRequestHandler):
    server: CountingCollector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take one batch."""
        self.server.received += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def counting_collector() -> Iterator[CountingCollector]:
    """Run a collector on a thread."""
    with CountingCollector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def bench_traces(
    requests: int, rounds: int, *, model_folder: Path, told: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Measure rounds of ``requests`` requests to each of three servers that differ in their traces alone, in turn.

    The processor time is that of the process, the exporter's thread included. Raises SetupError when a server does not
    start, WrongAnswer when one does not do its work.

    Example: ``bench_traces(300, 8, model_folder=folder)``
    """
    each: dict[str, list[float]] = {NONE: [], UNSAMPLED: [], SAMPLED: []}
    with counting_collector() as collector:
        address = f"http://127.0.0.1:{collector.server_port}"
        for _ in range(rounds):
            with _servers(model_folder, address) as urls:
                for name, cpu_ms in asyncio.run(_measure(urls, requests)).items():
                    each[name].append(cpu_ms)
            told(", ".join(f"{name}: {times[-1]:.3f} ms" for name, times in each.items()))
        return {
            "machine": machine(),
            "requests": requests,
            "traces": {name: _row(times, each[NONE]) for name, times in each.items()},
            "bytes_of_spans": collector.received,
        }


@contextmanager
def _servers(model_folder: Path, collector: str) -> Iterator[dict[str, str]]:
    """Run new processes for each round: two of the same program differ by some per cent all their lives."""
    kinds = {NONE: ("", 1.0), UNSAMPLED: (collector, 0.0), SAMPLED: (collector, 1.0)}
    with TemporaryDirectory(prefix="kvproxy-traces-") as scratch, ExitStack() as opened:
        servers = {}
        for number, (name, (traces, ratio)) in enumerate(kinds.items()):
            folder = str(Path(scratch, str(number)))
            plan = WatchedPlan(str(model_folder), folder, traces=traces, sample_ratio=ratio)
            servers[name] = opened.enter_context(watched("proxy", plan)).url
        yield servers


async def _measure(urls: dict[str, str], requests: int) -> dict[str, float]:
    """Return the milliseconds of processor time of a request to each server."""
    async with AsyncExitStack() as opened:
        sessions: dict[str, aiohttp.ClientSession] = {}
        for name, url in urls.items():
            sessions[name] = await opened.enter_async_context(session_to(url))
        loads = {name: SteadyLoad(session, 0.0) for name, session in sessions.items()}
        await _in_turn(loads, max(requests // 4, TURN))  # to warm up
        began = {name: await cpu_s(session) for name, session in sessions.items()}
        sent = await _in_turn(loads, requests)
        return {name: (await cpu_s(sessions[name]) - began[name]) * 1000 / sent for name in sessions}


async def _in_turn(loads: dict[str, SteadyLoad], requests: int) -> int:
    """Send requests to each, and wait until the exporter has sent the spans; return their number."""
    order = random.Random(0)
    for _ in range(requests // TURN):
        for name in order.sample(list(loads), len(loads)):
            await loads[name].one_by_one(TURN)
    await asyncio.sleep(SETTLE_S)
    return requests // TURN * TURN


def _row(times: list[float], without: list[float]) -> dict[str, Any]:
    """Return the medians; the ratio is that of the rounds' own."""
    return {
        "cpu_ms": round(statistics.median(times), 4),
        "ratio": round(statistics.median(a / b for a, b in zip(times, without, strict=True)), 4),
        "each_ms": [round(one, 4) for one in times],
    }
