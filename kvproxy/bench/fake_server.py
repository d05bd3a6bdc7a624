"""``python -m kvproxy.bench.fake_server MODEL_FOLDER STORE ANNOUNCE_FILE``: the proxy without an engine.

Everything on a hit's way is the real thing (HTTP, tokenizer, chat template, known documents, pipeline), but the
answer comes from the fake backend at once: the proxy's own time is left.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path

from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.bench.server_process import announce_to
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.registry.open_registry import registry_of_store
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.exactness.verify import Verifier
from kvproxy.pipeline import Pipeline
from kvproxy.publish import Publisher
from kvproxy.runtime.garbage_collection import collect_and_freeze
from kvproxy.served_model import ServedModel
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.run import serve
from kvproxy.server.shutdown import Drain
from kvproxy.store.stored_responses import FileResponses

MODEL = "fake"
MAX_CONTEXT = 32_768


async def run(model_folder: Path, store: Path, announce_file: Path) -> None:
    """Serve until SIGTERM; writes the address to ``announce_file`` once it is bound.

    Example: ``run(model_folder, store, announce_file)``
    """
    tokenizer = Tokenizer.load(model_folder)
    library = Library()
    composer = Composer(tokenizer, ChatTemplate.load(model_folder), library, [Framing("system", None)])
    local = FakeBackend(model=MODEL, max_context=MAX_CONTEXT)
    misses = FakeMisses(local)
    drain = Drain(1.0)
    responses = FileResponses(store / "responses", ttl_s=3600.0, max_size=2**24)
    with registry_of_store(store) as registry, responses:
        publisher = Publisher(composer=composer, library=library, registry=registry, local=local)
        await publisher.restore()
        components = Components(
            created=int(time.time()),
            pipeline=Pipeline(models=[ServedModel.of(local, composer)], misses=misses, default_max_tokens=64),
            ready=local.ready,
            publisher=publisher,
            verifier=Verifier(composer, library, local, MODEL),
            responses=responses,
            keyring=Keyring(()),
            drain=drain,
            max_body=2**24,
            keepalive_s=10.0,
            timeout_s=60.0,
        )
        collect_and_freeze()  # as `kvproxy serve` does once litellm is loaded
        await serve(build_app(components), "127.0.0.1", 0, drain, announce_to(announce_file))


def main(model_folder: Path, store: Path, announce_file: Path) -> None:
    """Run the server as a process of its own.

    Example: ``main(model_folder, store, announce_file)``
    """
    # As `kvproxy serve` logs: a line for each request is a part of its cost.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(run(model_folder, store, announce_file))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
