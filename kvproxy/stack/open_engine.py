"""Opens the model, the store on disk and the engine: the components that compute and keep pages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

from kvproxy.backends.embedded.audit_samples import AuditSamples
from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.config import Config, ModelSettings, StoreSettings
from kvproxy.core.session_hints import RetainPolicy
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.registry.open_registry import open_registry
from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine import build
from kvproxy.engine.decode.compiled_grammars import Grammars
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.engine import Engine
from kvproxy.engine.loop.kernel_thread import KernelThread
from kvproxy.engine.models.kernel_settings import kernel_settings, kernel_variables
from kvproxy.engine.models.source import ModelFolder
from kvproxy.stack.open_database import open_database
from kvproxy.stack.open_pages import OpenPages, open_pages, wait_for_names
from kvproxy.stack.open_records import OpenRecords
from kvproxy.stack.open_responses import open_responses
from kvproxy.store.last_engine import replace_last_engine
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.spill_files import SpillFolder
from kvproxy.store.stored_pages import StoredPages
from kvproxy.wire.answer_formats.answer_grammar import grammar_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory: its texts' side, its weights with their kernels, and the thread that runs them."""

    name: str
    folder: Path
    tokenizer: Tokenizer
    template: ChatTemplate
    weights: TileModel
    thread: KernelThread


@dataclass(frozen=True, slots=True)
class OpenStores:
    """The open files under ``store.path`` of a process with an engine."""

    pages: OpenPages
    spill: SpillFolder | None
    records: OpenRecords


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """The engine as a backend, its compiled grammars, and the served hits that wait for an audit."""

    local: EmbeddedBackend
    grammars: Grammars
    samples: AuditSamples


@asynccontextmanager
async def open_model(settings: ModelSettings, folder: ModelFolder) -> AsyncIterator[LoadedModel]:
    """Load tokenizer, chat template and weights; measure the kernels on the thread that will run them."""
    name, path = settings.served_name, folder.path
    began = time.perf_counter()
    tokenizer = await asyncio.to_thread(Tokenizer.load, path)
    template = await asyncio.to_thread(ChatTemplate.load, path)
    with closing(KernelThread()) as thread:
        loading = thread.submit(
            build.load,
            path,
            dtype=settings.dtype,
            device=settings.device,
            threads=settings.threads,
            tokenizer_digest=tokenizer.digest,
            template_digest=template.digest,
            say=lambda text: logger.info("%s: %s", name, text),
        )
        weights = await asyncio.wrap_future(loading)
        logger.info("%s: loaded in %.2f s", name, time.perf_counter() - began)
        _log_exactness(name, weights)
        yield LoadedModel(name, path, tokenizer, template, weights, thread)


@asynccontextmanager
async def open_stores(config: Config, model: LoadedModel) -> AsyncIterator[OpenStores]:
    """Open page store, database with the registry, spill folder and stored responses; drop the pages of no document.

    The page store comes first: it holds the lock of the folder, without which no other process's database may be
    looked into for damage.

    Example:
        ``async with open_stores(config, model) as stores: entries = stores.records.registry.load()``
    """
    path, fingerprint = config.store.path, model.weights.fingerprint
    async with AsyncExitStack() as life:
        form = model.weights.page_shape.form
        pages = life.enter_context(open_pages(config.store, fingerprint, form, model.weights.first_layer()))
        database = await life.enter_async_context(open_database(config))
        await asyncio.to_thread(wait_for_names, pages)
        await asyncio.to_thread(_log_engine_change, model, path)
        spill = _spill_folder(config.store, pages.packing)
        responses = life.enter_context(open_responses(config, database))
        registry = await asyncio.to_thread(open_registry, database, path)
        await asyncio.to_thread(_assign_pages, pages, registry, fingerprint)
        records = OpenRecords(database, responses, registry, path / "prepared.sqlite3")
        yield OpenStores(pages, spill, records)


@asynccontextmanager
async def open_engine(config: Config, model: LoadedModel, stores: OpenStores) -> AsyncIterator[RunningEngine]:
    """Start the engine and its grammars over a loaded model and open stores.

    Example:
        ``async with open_engine(config, model, stores) as engine: await engine.local.check()``
    """
    eos_ids = model.tokenizer.eos_ids
    with ExitStack() as life:
        engine = _start_engine(config, model, stores)
        life.callback(engine.stop)
        grammars = Grammars(model.folder, eos_ids, model.weights.vocab_size, grammar_of)
        life.callback(grammars.close)
        samples = AuditSamples(config.engine.audit)
        retain = RetainPolicy(config.engine.retain_share, config.engine.retain_max_s)
        local = EmbeddedBackend(engine, model.name, stores.pages, grammars, samples, retain)
        yield RunningEngine(local, grammars, samples)


def _start_engine(config: Config, model: LoadedModel, stores: OpenStores) -> Engine:
    settings = config.engine
    return build.start_engine(
        model.weights,
        model.folder,
        eos_ids=model.tokenizer.eos_ids,
        page_budget=None if settings.page_budget == "auto" else settings.page_budget,
        max_context=config.model.max_context,
        max_running=settings.max_running,
        max_waiting=settings.max_waiting,
        store=stores.pages,
        spill=stores.spill,
        thread=model.thread,
        speculate=settings.speculation == "auto",
    )


def _spill_folder(settings: StoreSettings, packing: PagePacking) -> SpillFolder | None:
    """Return the folder of spilled pages. They are encrypted as stored ones are, and not compressed: a page that gives
    way must not wait for that."""
    if not settings.spill_max_size:
        return None
    plain = replace(packing, codec=None)
    return SpillFolder(settings.path / "spill", max_size=settings.spill_max_size, packing=plain)


def _log_exactness(name: str, weights: TileModel) -> None:
    logger.info("%s: %s", name, weights.numerics.describe())
    if not weights.numerics.exact:
        logger.warning(
            "%s: on this device and dtype the kernels give a row other bits in other batches, as far as was "
            "measured: no hit is claimed exact. Run `kvproxy verify` to measure how far hits are from prefills.",
            name,
        )


def _log_engine_change(model: LoadedModel, folder: Path) -> None:
    """Log the kernel libraries' environment variables, and the reason why an older engine's pages do not fit."""
    name, weights = model.name, model.weights
    if variables := kernel_variables():
        logger.info("%s: the kernels obey %s", name, ", ".join(f"{k}={v}" for k, v in variables.items()))
    causes = {**weights.identity, **kernel_settings()}
    if changed := replace_last_engine(folder, weights.fingerprint, causes):
        logger.warning(
            "%s: the pages in %s were computed by an engine with other bits and are computed again (%s)",
            name,
            folder,
            changed,
        )


def _assign_pages(pages: StoredPages, registry: Registry, fingerprint: str) -> None:
    """Count pages for their publishers, and drop pages of no document, which make room first when the store is full.

    Where documents were lost to damage, their pages are kept: a restored registry would find them again.
    """
    owners = registry.page_owners(fingerprint)
    pages.assign(owners)
    if aside := registry.damage_reports():
        logger.warning(
            "pages of no document are kept while what was damaged lies in %s (%s); remove that folder when it is not "
            "needed any more",
            registry.folder,
            aside[0].partition(":")[0],
        )
    elif orphans := pages.collect(owners.keys()):
        logger.info("dropped %d stored pages that belong to no published document", orphans)
