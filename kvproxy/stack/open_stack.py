"""`open_stack`: every component between HTTP and the model, in the order in which they open; they close in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
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
from kvproxy.stack.background import BackgroundTasks, open_background, trim_memory, warm_up
from kvproxy.stack.figures import collect_figures
from kvproxy.stack.open_backends import open_backends
from kvproxy.stack.open_catalog import OpenCatalog, make_catalog
from kvproxy.stack.open_documents import (
    ExactnessChecks,
    PublishedDocuments,
    make_checks,
    open_documents,
)
from kvproxy.stack.open_engine import (
    LoadedModel,
    OpenStores,
    RunningEngine,
    open_engine,
    open_model,
    open_stores,
)
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


@dataclass(frozen=True, slots=True)
class _Parts:
    """The open components that the pipeline and the background work stand on."""

    config: Config
    stores: OpenStores
    engine: RunningEngine
    market: OpenMarket
    documents: PublishedDocuments
    misses: LitellmBackend
    checks: ExactnessChecks
    files: FileExchange
    explaining: OpenExplaining
    learned: LearnedTexts | None


@asynccontextmanager
async def open_stack(config: Config, folder: ModelFolder) -> AsyncIterator[Stack]:
    """Open every component from the configuration and a resolved model folder; close all in reverse."""
    async with AsyncExitStack() as life:
        model = await life.enter_async_context(open_model(config.model, folder))
        stores = await life.enter_async_context(open_stores(config, model))
        engine = await life.enter_async_context(open_engine(config, model, stores))
        host = host_of(config, model.weights.fingerprint, engine.local.info.max_context)
        market = await life.enter_async_context(open_market(config, host, stores.database))
        documents = await life.enter_async_context(_documents(config, model, stores, engine, market))
        offers = make_catalog(market, documents, engine.local, config.engine.default_max_tokens)
        misses = await life.enter_async_context(open_backends(config, engine.local))
        checks = make_checks(model.name, engine, documents)
        files = make_exchange(config.documents, model, stores, engine, market, documents.publisher)
        explaining = await life.enter_async_context(
            open_explaining(config.explain, documents.composer, documents.library)
        )
        background = await life.enter_async_context(open_background())
        learned = make_learned(config.learning, documents.publisher)
        parts = _Parts(config, stores, engine, market, documents, misses, checks, files, explaining, learned)
        yield Stack(
            composer=documents.composer,
            local=engine.local,
            misses=misses,
            pipeline=_pipeline(parts),
            explaining=explaining,
            market=market,
            offers=offers,
            publisher=documents.publisher,
            verifier=checks.verifier,
            responses=stores.responses,
            files=files,
            learned=learned,
            upkeep=make_upkeep(config.store.path, stores, engine, market, documents.publisher, background),
            start_background=lambda: _start_works(parts, background),
            ready=readiness(engine.local, lambda: _several(config, market)),
        )


def _documents(
    config: Config, model: LoadedModel, stores: OpenStores, engine: RunningEngine, market: OpenMarket
) -> AbstractAsyncContextManager[PublishedDocuments]:
    return open_documents(
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


def _pipeline(parts: _Parts) -> Pipeline:
    documents = parts.documents
    return Pipeline(
        composer=documents.composer,
        local=parts.engine.local,
        misses=parts.misses,
        default_max_tokens=parts.config.engine.default_max_tokens,
        metrics=_metrics(parts.engine, documents, parts.checks, parts.stores.pages),
        charging=parts.market.charging,
        noted=noting(documents.publisher.reads, parts.learned),
        explaining=parts.explaining.thread,
    )


def _start_works(parts: _Parts, background: BackgroundTasks) -> None:
    publisher = parts.documents.publisher
    background.start(
        warm_up(parts.misses, publisher, parts.engine.grammars, parts.engine.local),
        parts.checks.auditor.run(),
        parts.files.importer.later.run(),
        trim_memory(),
        FULL_COLLECTIONS.run(),
        book_storage_hours(parts.market.hosting, publisher.stored),
        publisher.reads.run(),
        publisher.endings.run(),
        *([parts.learned.run()] if parts.learned is not None else []),
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
