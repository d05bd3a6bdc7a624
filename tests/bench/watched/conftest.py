from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from kvproxy.bench.stalls.loop_watch import LoopWatch
from kvproxy.bench.watched.dashboard_cost import session_to
from kvproxy.bench.watched.watched_server import WatchedPlan, add_probes, open_proxy
from kvproxy.server.app import build_app
from kvproxy.server.shutdown import Drain
from tests.documents.models import write_model


@pytest.fixture
async def watched_session(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the measured proxy, in this process; it has 40 documents of its own besides the published."""
    plan = WatchedPlan(str(write_model(tmp_path / "model", "qwen3")), str(tmp_path), documents=40)
    async with open_proxy(plan, Drain(1.0)) as components:
        app = build_app(components)
        add_probes(app, LoopWatch())
        async with TestServer(app) as server, session_to(str(server.make_url("/"))) as session:
            yield session
