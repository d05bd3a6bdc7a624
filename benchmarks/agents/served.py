"""`Served`: the agents' proxy: the real engine on a real small model with a longer context."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from benchmarks.agents.scripted import Script, ScriptedBackend, ScriptedPipeline
from benchmarks.agents.shapes import shape_of
from kvproxy.backends.fake.fake_misses import FakeMisses
from kvproxy.config import Config, EngineSettings, ModelSettings, StoreSettings, default_cache_dir
from kvproxy.engine.models.source import ModelFolder, resolve_model
from kvproxy.served_model import ServedModel
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.run import serve
from kvproxy.server.shutdown import Drain
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_stack import open_stack
from kvproxy.wire.service.served_requests import KvRequest

CONTEXT = 65_536
"""Tokens. Claude Code's prompt alone is longer than the model's own context; the sense of its answers is irrelevant
here."""

LAYERS = 4
"""Of the model's 30: a prompt of 20,000 tokens takes seconds then and not minutes, kept and found as ever."""

NAME = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class Served:
    url: str
    script: Script
    components: Components
    shapes: dict[str, Any]
    """The shape of the longest request body, by path."""

    def requests(self) -> list[KvRequest]:
        """Return all requests that have ended."""
        return self.components.feed.recent("local", 500)


def _noting(shapes: dict[str, Any]) -> Middleware:
    """Keeps the shape of the longest body that came to each path (modified)."""

    @web.middleware
    async def noting(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if request.method == "POST" and request.path.startswith("/v1/"):
            body = await request.read()
            known = shapes.get(request.path)
            if known is None or known["bytes"] < len(body):
                shapes[request.path] = {"bytes": len(body), "body": shape_of(json.loads(body))}
        return response

    return noting


def long_model(folder: Path) -> Path:
    """Make a folder of SmolLM2 with a longer context and fewer layers in its config; the weights are linked."""
    source = resolve_model(
        NAME, revision=None, cache_dir=default_cache_dir(), progress=lambda done, total: None
    ).path
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in source.iterdir():
        if file.name != "config.json":
            os.symlink(file, folder / file.name)
    config = json.loads((source / "config.json").read_text())
    config |= {"max_position_embeddings": CONTEXT, "num_hidden_layers": LAYERS}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@asynccontextmanager
async def proxy(folder: Path, *, slow_s: float = 0.0) -> AsyncIterator[Served]:
    """Serve the proxy for the block. ``slow_s``: seconds added to every prefill, as on a slow machine."""
    config = Config(
        model=ModelSettings(path=str(folder / "model"), name=NAME),
        engine=EngineSettings(page_budget=6 * 2**30),
        store=StoreSettings(path=folder / "store"),
    )
    drain = Drain(2.0)
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with open_stack(config, ModelFolders(ModelFolder(long_model(folder / "model"), NAME))) as stack:
        script = Script()
        shapes: dict[str, Any] = {}
        local = ScriptedBackend(stack.local, script, slow_s)
        components = Components(
            created=0,
            pipeline=ScriptedPipeline(
                script, models=[ServedModel.of(local, stack.composer)], misses=FakeMisses(local)
            ),
            ready=stack.ready,
            publisher=stack.publisher,
            verifier=stack.verifier,
            responses=stack.responses,
            keyring=Keyring(),
            drain=drain,
            max_body=32 * 2**20,
            keepalive_s=10.0,
            timeout_s=600.0,
        )

        def announce(host: str, port: int) -> None:
            bound.set_result(f"http://{host}:{port}")

        app = build_app(components)
        app.middlewares.append(_noting(shapes))
        server = asyncio.create_task(serve(app, "127.0.0.1", 0, drain, announce))
        try:
            yield Served(await asyncio.wait_for(bound, 30), script, components, shapes)
        finally:
            server.cancel()
            with suppress(asyncio.CancelledError):
                await server
