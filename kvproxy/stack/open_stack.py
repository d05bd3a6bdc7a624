"""`open_stack`: every component between HTTP and the models, in the order in which they open; they close in reverse.

Importable without torch: all that an engine needs is in ``local_engine``, which is imported where there is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.charging.storage_hours import book_storage_hours
from kvproxy.config import Config
from kvproxy.document_files.file_exchange import FileExchange
from kvproxy.documents.prompts.compose import Composer
from kvproxy.errors import SetupError
from kvproxy.exactness.fleet_audit import FleetAuditor
from kvproxy.exactness.verify import Verifier
from kvproxy.explain.miss_explainer import AskedPrompt
from kvproxy.learning.learned_texts import LearnedTexts
from kvproxy.pipeline import Pipeline
from kvproxy.publish import Publisher
from kvproxy.runtime.garbage_collection import FULL_COLLECTIONS
from kvproxy.served_model import ServedModel, ServedModels
from kvproxy.stack.background import BackgroundTasks, open_background, trim_memory, warm_up
from kvproxy.stack.fleet_metrics import fleet_auditors
from kvproxy.stack.fleet_works import QuietReplicas, running_at
from kvproxy.stack.followed_models import FollowedModel, open_followed
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_backends import open_backends
from kvproxy.stack.open_catalog import OpenCatalog, make_catalog
from kvproxy.stack.open_documents import PublishedDocuments, open_documents, pin_share
from kvproxy.stack.open_explaining import OpenExplaining, open_explaining
from kvproxy.stack.open_fleets import Opening, open_fleets, replicas_of
from kvproxy.stack.open_learning import make_learned, noting
from kvproxy.stack.open_market import OpenMarket, host_of, open_market
from kvproxy.stack.open_model import OpenModel
from kvproxy.stack.open_records import OpenRecords, open_records
from kvproxy.stack.open_usage import make_usage
from kvproxy.stack.proxy_metrics import proxy_figures, proxy_metrics
from kvproxy.stack.readiness import engine_readiness, readiness
from kvproxy.store.response_store import ResponseStore
from kvproxy.telemetry.metrics import Figures
from kvproxy.telemetry.usage.usage_book import UsageBook
from kvproxy.upkeep.live_upkeep import LiveUpkeep

if TYPE_CHECKING:
    from kvproxy.backends.embedded.local_backend import EmbeddedBackend
    from kvproxy.engine.models.source import ModelFolder
    from kvproxy.exactness.audit import Auditor
    from kvproxy.stack.local_engine import LocalEngine


@dataclass(frozen=True, slots=True)
class Stack:
    """Every component between HTTP and the models, ready to be used."""

    engine: LocalEngine | None
    """All that only a process with an engine has; None in one that has fleets alone."""
    composer: Composer
    """The primary model's."""
    misses: LitellmBackend
    pipeline: Pipeline
    publisher: Publisher
    verifiers: Mapping[str, Verifier]
    """By the names of the served models."""
    responses: ResponseStore
    market: OpenMarket
    offers: OpenCatalog
    learned: LearnedTexts | None
    files: FileExchange | None
    """None without an engine: replicas give no pages away."""
    explaining: OpenExplaining
    usage: UsageBook
    figures: Callable[[], Figures]
    upkeep: LiveUpkeep | None
    """None without an engine: there is no page to check."""
    start_background: Callable[[], None]
    """Starts the background work: pages that must be made again, litellm's import, the grammars' tables, audits."""
    ready: Callable[[], str | None]
    """Returns None when a request would be served now, else the reason why not."""

    @property
    def local(self) -> EmbeddedBackend:
        """The engine of this process. Raises SetupError where it has none."""
        if self.engine is None:
            raise SetupError("this process computes no model itself: its configuration has fleets alone")
        return self.engine.engine.local

    @property
    def verifier(self) -> Verifier:
        """The primary model's verifier."""
        return self.verifiers[self.pipeline.models.primary.name]


@dataclass(frozen=True, slots=True)
class _Parts:
    """The open components that the pipeline and the background work stand on."""

    config: Config
    engine: LocalEngine | None
    auditor: Auditor | None
    models: ServedModels
    market: OpenMarket
    documents: PublishedDocuments
    followed: tuple[FollowedModel, ...]
    misses: LitellmBackend
    files: FileExchange | None
    explaining: OpenExplaining
    learned: LearnedTexts | None
    usage: UsageBook
    quiet: QuietReplicas
    fleet_auditors: Mapping[str, FleetAuditor]
    """By the names of the fleets that have one."""

    @property
    def figures(self) -> Callable[[], Figures]:
        return proxy_figures(self.engine, self.auditor, self.documents.library, self.models)


@asynccontextmanager
async def open_stack(
    config: Config, folders: ModelFolders, opening: Opening = replicas_of
) -> AsyncIterator[Stack]:
    """Open every component from the configuration and resolved model folders; close all in reverse.

    A local model is the primary one, else the first fleet is. ``opening`` opens one fleet's backend.
    Example: ``async with open_stack(config, resolve_folders(config)) as stack: ...``
    """
    async with AsyncExitStack() as life:
        engine = await life.enter_async_context(_engine(config, folders.local))
        records = await life.enter_async_context(_records(config, engine))
        fleets = await life.enter_async_context(open_fleets(config, folders.fleets, opening))
        first, *others = [*([] if engine is None else [engine.opened]), *fleets]
        host = host_of(config, [opened.hosted for opened in (first, *others)])
        market = await life.enter_async_context(open_market(config, host, records.database))
        documents = await life.enter_async_context(_documents(config, first, records, engine, market))
        followed = [
            await life.enter_async_context(_followed(config, opened, records, market)) for opened in others
        ]
        primary = ServedModel(first.name, first.backend, documents.composer, first.fingerprint)
        models = ServedModels([primary, *(each.model for each in followed)])
        misses = await life.enter_async_context(
            open_backends(config, {model.name: model.backend for model in models})
        )
        explaining = await life.enter_async_context(open_explaining(config.explain, models))
        background = await life.enter_async_context(open_background())
        publisher = documents.publisher
        parts = _Parts(
            config=config,
            engine=engine,
            auditor=None if engine is None else engine.auditor(publisher),
            models=models,
            market=market,
            documents=documents,
            followed=tuple(followed),
            misses=misses,
            files=None if engine is None else engine.exchange(market, publisher),
            explaining=explaining,
            learned=make_learned(config.learning, publisher),
            usage=make_usage(config.usage, market, publisher, primary.name),
            quiet=QuietReplicas(lambda: running_at(model.backend for model in models)),
            fleet_auditors=fleet_auditors(config.fleets, models),
        )
        yield _stack(parts, records, background)


def _stack(parts: _Parts, records: OpenRecords, background: BackgroundTasks) -> Stack:
    documents, market, engine = parts.documents, parts.market, parts.engine
    publisher, several = documents.publisher, lambda: _several(parts.config, parts.market)
    reasons = {model.name: model.backend.ready for model in parts.models}
    if engine is not None:
        reasons[engine.model.name] = engine_readiness(engine.engine.local, several)
    return Stack(
        engine=engine,
        composer=documents.composer,
        misses=parts.misses,
        pipeline=_pipeline(parts),
        publisher=publisher,
        verifiers={
            model.name: Verifier(
                model.composer, model.library, model.backend, model.name, publisher.quarantine
            )
            for model in parts.models
        },
        responses=records.responses,
        market=market,
        offers=make_catalog(market, parts.models, parts.config.engine.default_max_tokens),
        learned=parts.learned,
        files=parts.files,
        explaining=parts.explaining,
        usage=parts.usage,
        figures=parts.figures,
        upkeep=None if engine is None else engine.upkeep(market, publisher, background),
        start_background=lambda: background.start(*_works(parts)),
        ready=readiness(reasons),
    )


@asynccontextmanager
async def _engine(config: Config, folder: ModelFolder | None) -> AsyncIterator[LocalEngine | None]:
    if folder is None:
        yield None
        return
    # Torch comes with it, which takes seconds: a process that has fleets alone never imports it.
    from kvproxy.stack.local_engine import open_local_engine

    async with open_local_engine(config, folder) as engine:
        yield engine


@asynccontextmanager
async def _records(config: Config, engine: LocalEngine | None) -> AsyncIterator[OpenRecords]:
    if engine is not None:
        yield engine.records
        return
    async with open_records(config) as records:
        yield records


def _documents(
    config: Config, opened: OpenModel, records: OpenRecords, engine: LocalEngine | None, market: OpenMarket
) -> AbstractAsyncContextManager[PublishedDocuments]:
    return open_documents(
        config.documents,
        opened,
        records,
        market.rights,
        market.hosting,
        lambda: _several(config, market),
        None if engine is None else engine.issuer(market),
        market.accounts.quota,
        None if engine is None else engine.shared_pages,
    )


def _followed(
    config: Config, opened: OpenModel, records: OpenRecords, market: OpenMarket
) -> AbstractAsyncContextManager[FollowedModel]:
    share = config.documents.pin_share
    return open_followed(
        config.documents,
        opened,
        records,
        market.rights,
        lambda: pin_share(share, several=_several(config, market)),
    )


def _pipeline(parts: _Parts) -> Pipeline:
    note = noting(parts.documents.publisher.reads, parts.learned)

    def noted(asked: AskedPrompt) -> None:
        parts.quiet.answered()
        for auditor in parts.fleet_auditors.values():
            auditor.note(asked)
        note(asked)

    return Pipeline(
        models=list(parts.models),
        misses=parts.misses,
        default_max_tokens=parts.config.engine.default_max_tokens,
        metrics=proxy_metrics(parts.figures, parts.models, parts.fleet_auditors, parts.config.fleets),
        charging=parts.market.charging,
        noted=noted,
        explaining=parts.explaining.thread,
    )


def _works(parts: _Parts) -> list[Coroutine[None, None, None]]:
    """Return all work that no request waits for."""
    publisher, engine = parts.documents.publisher, parts.engine
    works = [
        trim_memory(),
        FULL_COLLECTIONS.run(),
        book_storage_hours(parts.market.hosting, publisher.stored),
        publisher.reads.run(),
        publisher.endings.run(),
        publisher.follower.run(),
        parts.usage.run(),
        *(each.follower.run() for each in parts.followed),
        *(each.endings.run_unrecorded() for each in parts.followed),
        *(auditor.run() for auditor in parts.fleet_auditors.values()),
    ]
    if engine is not None and parts.auditor is not None:
        works += engine.works(parts.misses, publisher, parts.auditor)
    else:
        works.append(warm_up(parts.misses, publisher, parts.quiet))
    if parts.files is not None:
        works.append(parts.files.importer.later.run())
    if parts.learned is not None:
        works.append(parts.learned.run())
    return works


def _several(config: Config, market: OpenMarket) -> bool:
    return len(config.server.api_keys) > 1 or market.accounts.has_keys
