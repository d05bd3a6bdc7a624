"""``python -m kvproxy.bench.stalls.stall_server MODEL_FOLDER STORE DOCUMENTS ANNOUNCE_FILE``: the proxy with the fake
backend, a large library and a watch over its event loop, which ``GET /stall`` asks for the longest stall."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict
from pathlib import Path

from aiohttp import web

from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.bench.fake_server import MODEL
from kvproxy.bench.server_process import announce_to
from kvproxy.bench.stalls.loop_watch import LoopWatch
from kvproxy.bench.stalls.stall_cases import text
from kvproxy.documents.library.document import Document, Framing, etag_of
from kvproxy.documents.library.library import Library
from kvproxy.documents.prepared.preparation import Preparation
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
from kvproxy.telemetry.metrics import Figures, Metrics

MAX_CONTEXT = 131_072
MAX_BODY = 2**25
"""As the config's default."""
TOKEN_S = 0.02
"""Between the words of an answer."""
HEAD = "Every document of a large house begins with the same long notice. " * 2
"""Longer than whatever documents are told apart by at first."""


def fill(library: Library, composer: Composer, documents: int) -> None:
    """Make so many documents known, none of which has pages.

    Example: ``fill(library, composer, 10_000)``
    """
    preparation = Preparation(composer)
    for number in range(documents):
        body = f"{HEAD}Document {number}. {text(200, number)}"
        document = Document(f"document-{number}", 1, body, etag_of(body), "public", "publisher", 1)
        library.add(preparation.prepare(body, MAX_CONTEXT).known(document))


async def run(model_folder: Path, store: Path, documents: int, announce_file: Path) -> None:
    """Serve until SIGTERM under a watch of the event loop.

    Example: ``run(model_folder, store, 10_000, announce_file)``
    """
    tokenizer = Tokenizer.load(model_folder)
    library = Library()
    composer = Composer(tokenizer, ChatTemplate.load(model_folder), library, [Framing("system", None)])
    fill(library, composer, documents)
    local = FakeBackend(model=MODEL, max_context=MAX_CONTEXT, token_delay_s=TOKEN_S)
    local.scripted = lambda _: "word " * 200
    drain, watch, metrics = Drain(1.0), LoopWatch(), Metrics()
    metrics.follow(lambda: Figures(len(local.running), 0, {}, library.quarantined, {}))
    responses = FileResponses(store / "responses", ttl_s=3600.0, max_size=2**24)
    with registry_of_store(store) as registry, responses:
        publisher = Publisher(composer=composer, library=library, registry=registry, local=local)
        models, misses = [ServedModel.of(local, composer)], FakeMisses(local)
        pipeline = Pipeline(models=models, misses=misses, default_max_tokens=64, metrics=metrics)
        components = Components(
            created=int(time.time()),
            pipeline=pipeline,
            ready=local.ready,
            publisher=publisher,
            verifier=Verifier(composer, library, local, MODEL),
            responses=responses,
            keyring=Keyring(()),
            drain=drain,
            max_body=MAX_BODY,
            keepalive_s=10.0,
            timeout_s=300.0,
        )
        app = build_app(components)

        async def longest(_: web.Request) -> web.StreamResponse:
            return web.json_response(asdict(watch.take()))

        app.router.add_get("/stall", longest)
        collect_and_freeze()  # this and the collections' clock as `kvproxy serve` has them
        async with watch.watching(), asyncio.TaskGroup() as background:
            clock = background.create_task(FULL_COLLECTIONS.run())
            await serve(app, "127.0.0.1", 0, drain, announce_to(announce_file))
            clock.cancel()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
