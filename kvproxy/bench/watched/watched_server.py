"""``python -m kvproxy.bench.watched.watched_server PLAN ANNOUNCE_FILE``: a proxy on the fake backend with everything
that its pages show: keys of three tenants, figures in a database, a store, a fleet's replicas, and as many documents as
the plan says. ``GET /bench/cpu`` answers with the processor time of the process, ``GET /bench/stall`` with the longest
stall of its event loop."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

from aiohttp import web

from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.bench.server_process import announce_to
from kvproxy.bench.stalls.loop_watch import LoopWatch
from kvproxy.bench.watched.filled_library import fill, fill_hours
from kvproxy.core import ALL_PERMISSIONS, Permission
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.registry.open_registry import registry_of_store
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.exactness.verify import Verifier
from kvproxy.pipeline import Pipeline
from kvproxy.publish import Publisher
from kvproxy.runtime.garbage_collection import FULL_COLLECTIONS, collect_and_freeze
from kvproxy.served_model import ServedModel
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.run import serve
from kvproxy.server.shutdown import Drain
from kvproxy.store.stored_responses import FileResponses
from kvproxy.telemetry.fleet_series import FleetSeries, ReplicaSeries
from kvproxy.telemetry.metrics import Figures, Metrics
from kvproxy.telemetry.store_state import StoreState, TierState
from kvproxy.telemetry.tracing.otlp_export import TraceExport, exporting
from kvproxy.telemetry.tracing.tracing import Tracing
from kvproxy.telemetry.usage.usage_book import UsageBook
from kvproxy.telemetry.usage.usage_records import UsageRecords

MODEL = "fake"
SECRET = "the secret of the sessions of a benchmark"
KEYS = {"operator": "sk-bench-operator", "owner": "sk-bench-owner", "reader": "sk-bench-reader"}
"""API keys by tenant: an admin's, that of the publisher of all documents, and one that reads."""
_PERMISSIONS: dict[str, frozenset[Permission]] = {
    "operator": ALL_PERMISSIONS,
    "reader": frozenset({"read"}),
}
_MAX_CONTEXT = 32_768


class _Limits(TypedDict):
    max_body: int
    keepalive_s: float
    timeout_s: float


_LIMITS: _Limits = {"max_body": 2**24, "keepalive_s": 10.0, "timeout_s": 60.0}


@dataclass(frozen=True, slots=True)
class WatchedPlan:
    """A server of a measurement."""

    model_folder: str
    """Of the tokenizer and the chat template; nothing is computed."""
    folder: str
    """For its files."""
    documents: int = 0
    """Documents that it begins with."""
    visibility: str = "public"
    """Of these documents."""
    dashboard: bool = True
    traces: str = ""
    """The address of a collector; empty: no traces."""
    sample_ratio: float = 1.0
    watch: bool = False
    """True when the event loop is watched, which costs some per cent of a core."""


@asynccontextmanager
async def open_proxy(plan: WatchedPlan, drain: Drain) -> AsyncIterator[Components]:
    """Open the parts of the proxy, filled with documents; close them at the end.

    Example: ``async with open_proxy(plan, drain) as components: build_app(components)``
    """
    folder, model, library = Path(plan.folder), Path(plan.model_folder), Library()
    composer = Composer(Tokenizer.load(model), ChatTemplate.load(model), library, [Framing("system", None)])
    local = FakeBackend(model=MODEL, max_context=_MAX_CONTEXT)
    metrics, figures = Metrics(), partial(_figures, local)
    metrics.follow(figures)
    served, misses = ServedModel.of(local, composer), FakeMisses(local)
    async with AsyncExitStack() as opened:
        registry = opened.enter_context(registry_of_store(folder))
        publisher = Publisher(composer=composer, library=library, registry=registry, local=local)
        await publisher.restore()
        keyring = Keyring(KEYS.items(), permissions=_PERMISSIONS)
        await fill(publisher, plan.documents, plan.visibility, keyring)
        responses = FileResponses(folder / "responses", ttl_s=3600.0, max_size=2**24)
        records = await opened.enter_async_context(_records(folder))
        usage = UsageBook(records, lambda model, tokens: tokens * 500)
        fill_hours(usage, KEYS, MODEL)
        yield Components(
            created=int(time.time()),
            pipeline=Pipeline(models=[served], misses=misses, default_max_tokens=64, metrics=metrics),
            ready=local.ready,
            publisher=publisher,
            verifier=Verifier(composer, library, local, MODEL),
            responses=opened.enter_context(responses),
            keyring=keyring,
            **_LIMITS,
            drain=drain,
            usage=usage,
            figures=figures,
            store_state=_store,
            fleets=_fleets,
            tracing=await _tracing(plan, opened),
            dashboard=plan.dashboard,
            dashboard_secret=SECRET,
        )


async def run(plan: WatchedPlan, announce_file: Path) -> None:
    """Serve until SIGTERM.

    Example: ``await run(WatchedPlan(str(model), scratch), Path(scratch, "url"))``
    """
    drain, watch = Drain(1.0), LoopWatch()
    async with AsyncExitStack() as opened:
        components = await opened.enter_async_context(open_proxy(plan, drain))
        app = build_app(components)
        add_probes(app, watch)
        collect_and_freeze()  # this and the collections' clock as `kvproxy serve` has them
        if plan.watch:
            await opened.enter_async_context(watch.watching())
        background = await opened.enter_async_context(asyncio.TaskGroup())
        works = (FULL_COLLECTIONS.run(), components.usage.run())
        tasks = [background.create_task(work) for work in works]
        await serve(app, "127.0.0.1", 0, drain, announce_to(announce_file))
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def _records(folder: Path) -> AsyncIterator[UsageRecords]:
    with Database.open(None, folder) as database:
        await asyncio.to_thread(migrate, database)
        yield UsageRecords(database)


async def _tracing(plan: WatchedPlan, opened: AsyncExitStack) -> Tracing:
    if not plan.traces:
        return Tracing()
    export = TraceExport(plan.traces, sample_ratio=plan.sample_ratio)
    return Tracing(await opened.enter_async_context(exporting(export)))


def _figures(local: FakeBackend) -> Figures:
    return Figures(len(local.running), 0, {"used": 5000, "free": 3000}, 0, {"passed": 90})


def _store() -> StoreState:
    used = int(time.monotonic() * 100)
    return StoreState((TierState("memory", used, used, 2**40), TierState("disk", used, used, 2**40)))


def _fleets() -> list[FleetSeries]:
    """Return eight replicas whose figures change all the time."""
    now = int(time.monotonic() * 100)
    replicas = [ReplicaSeries(f"replica-{n}", up=True, running=now % 7, answers=now + n) for n in range(8)]
    return [FleetSeries(MODEL, tuple(replicas))]


def add_probes(app: web.Application, watch: LoopWatch) -> None:
    """Add the two paths that tell of the process."""

    async def cpu(_: web.Request) -> web.StreamResponse:
        return web.json_response({"cpu_s": time.process_time()})

    async def stall(_: web.Request) -> web.StreamResponse:
        return web.json_response(asdict(watch.take()))

    app.router.add_get("/bench/cpu", cpu)
    app.router.add_get("/bench/stall", stall)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(run(WatchedPlan(**json.loads(sys.argv[1])), Path(sys.argv[2])))
