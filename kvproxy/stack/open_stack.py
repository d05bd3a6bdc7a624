"""`open_stack`: every component between HTTP and the model, in the order in which they open; they close in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.charging.storage_hours import book_storage_hours
from kvproxy.config import Config
from kvproxy.document_files.file_exchange import FileExchange
from kvproxy.documents.prompts.compose import Composer
from kvproxy.engine.models.source import ModelFolder
from kvproxy.exactness.verify import Verifier
from kvproxy.learning.learned_texts import LearnedTexts
from kvproxy.pipeline import Pipeline
from kvproxy.publish import Publisher
from kvproxy.runtime.garbage_collection import FULL_COLLECTIONS
from kvproxy.stack.background import open_background, trim_memory, warm_up
from kvproxy.stack.figures import collect_figures
from kvproxy.stack.open_backends import open_backends
from kvproxy.stack.open_catalog import OpenCatalog, make_catalog
from kvproxy.stack.open_documents import (
    ExactnessChecks,
    PublishedDocuments,
    make_checks,
    open_documents,
)
from kvproxy.stack.open_engine import RunningEngine, open_engine, open_model, open_stores
from kvproxy.stack.open_explaining import OpenExplaining, open_explaining
from kvproxy.stack.open_files import make_exchange, make_issuer
from kvproxy.stack.open_learning import make_learned, noting
from kvproxy.stack.open_market import OpenMarket, host_of, open_market
from kvproxy.stack.open_pages import OpenPages
from kvproxy.stack.open_upkeep import make_upkeep
from kvproxy.store.stored_responses import ResponseStore
from kvproxy.telemetry.metrics import Metrics
from kvproxy.upkeep.live_upkeep import LiveUpkeep


@dataclass(frozen=True, slots=True)
class Stack:
    """Every component between HTTP and the model, ready to be used."""

    composer: Composer
    local: EmbeddedBackend
    misses: LitellmBackend
    pipeline: Pipeline
    publisher: Publisher
    verifier: Verifier
    responses: ResponseStore
    market: OpenMarket
    offers: OpenCatalog
    learned: LearnedTexts | None
    files: FileExchange
    explaining: OpenExplaining
    upkeep: LiveUpkeep
    start_background: Callable[[], None]
    """Starts the background work: pages that must be made again, litellm's import, the grammars' tables, audits."""
    ready: Callable[[], str | None]
    """Returns None when a request would be served now, else the reason why not."""


@asynccontextmanager
async def open_stack(config: Config, folder: ModelFolder) -> AsyncIterator[Stack]:
    """Open every component from the configuration and a resolved model folder; close all in reverse."""
    async with AsyncExitStack() as life:
        model = await life.enter_async_context(open_model(config.model, folder))
        stores = await life.enter_async_context(open_stores(config, model))
        engine = await life.enter_async_context(open_engine(config, model, stores))
        host = host_of(config, model.weights.fingerprint, engine.local.info.max_context)
        market = await life.enter_async_context(open_market(config, host, stores.database))
        documents = await life.enter_async_context(
            open_documents(
                config.documents,
                model,
                stores,
                engine,
                market.rights,
                market.hosting,
                lambda: _several(config, market),
                make_issuer(model, stores, market),
                market.accounts.quota,
            )
        )
        offers = make_catalog(market, documents, engine.local, config.engine.default_max_tokens)
        misses = await life.enter_async_context(open_backends(config, engine.local))
        checks = make_checks(model.name, engine, documents)
        files = make_exchange(config.documents, model, stores, engine, market, documents.publisher)
        explaining = await life.enter_async_context(
            open_explaining(config.explain, documents.composer, documents.library)
        )
        background = await life.enter_async_context(open_background())
        learned = make_learned(config.learning, documents.publisher)
        yield Stack(
            composer=documents.composer,
            local=engine.local,
            misses=misses,
            pipeline=Pipeline(
                composer=documents.composer,
                local=engine.local,
                misses=misses,
                default_max_tokens=config.engine.default_max_tokens,
                metrics=_metrics(engine, documents, checks, stores.pages),
                charging=market.charging,
                noted=noting(documents.publisher.reads, learned),
                explaining=explaining.thread,
            ),
            explaining=explaining,
            market=market,
            offers=offers,
            publisher=documents.publisher,
            verifier=checks.verifier,
            responses=stores.responses,
            files=files,
            learned=learned,
            upkeep=make_upkeep(config.store.path, stores, engine, market, documents.publisher, background),
            start_background=lambda: background.start(
                warm_up(misses, documents.publisher, engine.grammars, engine.local),
                checks.auditor.run(),
                files.importer.later.run(),
                trim_memory(),
                FULL_COLLECTIONS.run(),
                book_storage_hours(market.hosting, documents.publisher.stored),
                documents.publisher.reads.run(),
                documents.publisher.endings.run(),
                *([learned.run()] if learned is not None else []),
            ),
            ready=readiness(engine.local, lambda: _several(config, market)),
        )


def _metrics(
    engine: RunningEngine, documents: PublishedDocuments, checks: ExactnessChecks, pages: OpenPages
) -> Metrics:
    metrics = Metrics()
    metrics.follow(lambda: collect_figures(engine.local, documents.library, checks.auditor, pages))
    return metrics


def _several(config: Config, market: OpenMarket) -> bool:
    return len(config.server.api_keys) > 1 or market.accounts.has_keys


def readiness(local: EmbeddedBackend, several_tenants: Callable[[], bool]) -> Callable[[], str | None]:
    """Return the ``ready`` of a stack. A full queue counts only where there is one tenant: of several, one that fills
    its own share leaves the others theirs, and a load balancer must not send them away."""

    def ready() -> str | None:
        return local.ready() or ("its queue is full" if local.full and not several_tenants() else None)

    return ready
