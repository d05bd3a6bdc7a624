"""`SmallStack`: the components of a proxy, opened from a configuration around a model that is made on the spot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvproxy.config import Config, load_config
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.kernel_thread import KernelThread
from kvproxy.exactness.audit import Auditor
from kvproxy.exactness.verify import Verifier
from kvproxy.stack.local_engine import LocalEngine
from kvproxy.stack.open_documents import PublishedDocuments, open_documents
from kvproxy.stack.open_engine import LoadedModel, OpenStores, RunningEngine, open_engine, open_stores
from kvproxy.stack.open_market import OpenMarket, host_of, open_market

NAME = "kv.example.com"


@dataclass(frozen=True)
class SmallStack:
    """Open components, as ``open_stack`` has them."""

    config: Config
    model: LoadedModel
    stores: OpenStores
    engine: RunningEngine
    market: OpenMarket
    documents: PublishedDocuments
    verifier: Verifier
    auditor: Auditor


@asynccontextmanager
async def open_small_stack(
    folder: Path, weights: TileModel, texts: Path, **settings: Any
) -> AsyncIterator[SmallStack]:
    """Open it on a folder; ``texts`` has the tokenizer and the template, ``settings`` are added to the configuration.

    Every page is audited at the end.
    """
    small = {
        "model.path": "small",
        "store.path": folder / "store",
        "host.name": NAME,
        "engine.page_budget": 40 * weights.page_shape.bytes,
    }
    config = load_config(None, small | settings)
    async with AsyncExitStack() as life:
        thread = life.enter_context(closing(KernelThread()))
        tokenizer, template = Tokenizer.load(texts), ChatTemplate.load(texts)
        model = LoadedModel("small", texts, tokenizer, template, weights, thread)
        stores = await life.enter_async_context(open_stores(config, model))
        engine = await life.enter_async_context(open_engine(config, model, stores))
        local = LocalEngine(config, model, stores, engine)
        host = host_of(config, [local.opened.hosted])
        market = await life.enter_async_context(open_market(config, host, stores.records.database))
        documents = await life.enter_async_context(
            open_documents(
                config.documents,
                local.opened,
                stores.records,
                market.rights,
                issuer=local.issuer(market),
                shared=local.shared_pages,
            )
        )
        publisher = documents.publisher
        verifier = Verifier(
            documents.composer, documents.library, engine.local, model.name, publisher.quarantine
        )
        auditor = local.auditor(publisher)
        yield SmallStack(config, model, stores, engine, market, documents, verifier, auditor)
        assert await engine.local.check() == []
