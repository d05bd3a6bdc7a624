"""The composition root: builds every part from the config, in the order in which they live and die."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from kvproxy.backends.embedded.audit_samples import AuditSamples
from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.backends.raw.passthrough import RawUpstream, raw_client
from kvproxy.config import Config, default_cache_dir
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.registry import Registry
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine import build
from kvproxy.engine.decode.compiled_grammars import Grammars
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.kernel_thread import KernelThread
from kvproxy.engine.models.kernel_settings import kernel_settings, kernel_variables
from kvproxy.engine.models.source import ModelFolder, resolve_model
from kvproxy.exactness.audit import Auditor
from kvproxy.exactness.verify import Verifier
from kvproxy.pipeline import Pipeline
from kvproxy.publish import Publisher
from kvproxy.publishing.document_locks import whole
from kvproxy.runtime.garbage_collection import FULL_COLLECTIONS, set_aside
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.run import serve
from kvproxy.server.shutdown import Drain
from kvproxy.store.last_engine import replace_last_engine
from kvproxy.store.page_store import PageStore
from kvproxy.store.spill_files import SpillFolder
from kvproxy.store.stored_responses import ResponseStore
from kvproxy.telemetry.metrics import Figures, Metrics
from kvproxy.wire.answer_formats.answer_grammar import grammar_of
from kvproxy.wire.bodies.request_reading import ReadingPolicy

logger = logging.getLogger(__name__)

TRIM_S = 30.0
"""How often freed memory is given back to the system."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything between HTTP and the model, ready to be used."""

    composer: Composer
    local: EmbeddedBackend
    misses: LitellmBackend
    pipeline: Pipeline
    publisher: Publisher
    verifier: Verifier
    responses: ResponseStore
    refresh: Callable[[], None]
    """Starts the background work: litellm's import, the grammars' tables, pages that must be made again, audits."""
    ready: Callable[[], str | None]


def run_server(
    config: Config,
    *,
    announce: Callable[[str, int], None],
    progress: Callable[[int, int], None],
    ended: Callable[[Stack], Awaitable[None]] | None = None,
) -> int:
    """Serve until a signal. Returns the exit status. Raises SetupError when nothing can be served.

    ``ended`` is awaited when the last request has been answered and everything is still open.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Names of threads and processes are in no line, and looking them up is a tenth of what a line costs.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for noisy in ("LiteLLM", "httpx", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    folder = resolve_model(
        config.model.path, revision=config.model.revision, cache_dir=default_cache_dir(), progress=progress
    )
    asyncio.run(_serve(config, folder, announce, ended))
    return 0


async def _serve(
    config: Config,
    folder: ModelFolder,
    announce: Callable[[str, int], None],
    ended: Callable[[Stack], Awaitable[None]] | None,
) -> None:
    settings = config.server
    async with open_stack(config, folder) as stack:
        drain = Drain(settings.drain_timeout_s)
        components = Components(
            served_name=config.model.served_name,
            created=int(time.time()),
            pipeline=stack.pipeline,
            ready=stack.ready,
            publisher=stack.publisher,
            verifier=stack.verifier,
            responses=stack.responses,
            keyring=Keyring(
                ((k.name, k.key) for k in settings.api_keys),
                {k.name: k.isolate_by for k in settings.api_keys},
            ),
            drain=drain,
            max_body=settings.max_body,
            keepalive_s=settings.keepalive_s,
            timeout_s=settings.timeout_s,
            aliases=config.aliases,
            cors_origins=settings.cors_origins,
            policy=ReadingPolicy(**config.requests.model_dump()),
            show_metrics=settings.metrics,
            metrics_key=settings.metrics_key,
        )
        stack.refresh()
        await serve(build_app(components), settings.host, settings.port, drain, announce)
        if ended is not None:
            await ended(stack)


@asynccontextmanager
async def open_stack(config: Config, folder: ModelFolder) -> AsyncIterator[Stack]:
    """Open the store, load the model, start the engine, learn the known documents; close all in reverse."""
    name = config.model.served_name
    async with AsyncExitStack() as life:
        tokenizer = await asyncio.to_thread(Tokenizer.load, folder.path)
        template = await asyncio.to_thread(ChatTemplate.load, folder.path)
        thread = KernelThread()
        life.callback(thread.close)
        loading = thread.submit(
            build.load,
            folder.path,
            dtype=config.model.dtype,
            device=config.model.device,
            threads=config.model.threads,
            tokenizer_digest=tokenizer.digest,
            template_digest=template.digest,
            say=lambda what: logger.info("%s: %s", name, what),
        )
        model = await asyncio.wrap_future(loading)
        logger.info("%s: %s", name, model.numerics.describe())
        if not model.numerics.exact:
            logger.warning(
                "%s: the kernels of this device and dtype could not be shown to give a row the same bits in any "
                "company, so no hit is claimed exact; `kvproxy verify` measures how far hits are from prefills",
                name,
            )
        store = life.enter_context(
            PageStore(config.store.path, max_size=config.store.max_size, fingerprint=model.fingerprint)
        )
        await asyncio.to_thread(_tell_engine, name, config.store.path, model)
        spill = None
        if config.store.spill_max_size:
            spill = SpillFolder(
                config.store.path / "spill",
                max_size=config.store.spill_max_size,
                fingerprint=model.fingerprint,
            )
        responses = life.enter_context(
            ResponseStore(
                config.store.path / "responses",
                ttl_s=config.responses.ttl_s,
                max_size=config.responses.max_size,
            )
        )
        registry = life.enter_context(Registry(config.store.path / "documents.sqlite3"))
        await asyncio.to_thread(_adopt, store, registry)
        engine = build.start_engine(
            model,
            folder.path,
            eos_ids=tokenizer.eos_ids,
            page_budget=None if config.engine.page_budget == "auto" else config.engine.page_budget,
            max_context=config.model.max_context,
            max_running=config.engine.max_running,
            max_waiting=config.engine.max_waiting,
            store=store,
            spill=spill,
            thread=thread,
            speculate=config.engine.speculation == "auto",
        )
        life.callback(engine.stop)
        grammars = Grammars(folder.path, tokenizer.eos_ids, model.vocab_size, grammar_of)
        life.callback(grammars.close)
        samples = AuditSamples(config.engine.audit)
        local = EmbeddedBackend(engine, name, store, grammars, samples)
        library = Library()
        framings = [Framing(f.place, f.system) for f in config.documents.framings]
        composer = Composer(tokenizer, template, library, framings)
        publisher = Publisher(
            composer=composer,
            library=library,
            registry=registry,
            local=local,
            default_visibility=config.documents.default_visibility,
            max_text=config.documents.max_text,
            spellings=config.documents.spellings,
            texts=config.store.path / "prepared.sqlite3",
        )
        life.callback(publisher.close)
        await publisher.restore()
        client = await life.enter_async_context(raw_client())
        misses = LitellmBackend(
            local=local,
            local_name=name,
            upstreams=[(u.name, u.params) for u in config.upstreams if not u.passthrough],
            fallbacks=config.fallbacks,
            raw={
                u.name: RawUpstream(client, name=u.name, **u.params)
                for u in config.upstreams
                if u.passthrough
            },
        )
        life.push_async_callback(misses.close)
        auditor = Auditor(samples, local, publisher.quarantine)
        metrics = Metrics()
        metrics.follow(lambda: figures(local, library, auditor))
        background = await life.enter_async_context(_background())
        # Of several tenants one that fills the queue does not fill it for the others, who must not be sent away.
        alone = len(config.server.api_keys) <= 1
        yield Stack(
            composer=composer,
            local=local,
            misses=misses,
            pipeline=Pipeline(
                composer=composer,
                local=local,
                misses=misses,
                default_max_tokens=config.engine.default_max_tokens,
                metrics=metrics,
            ),
            publisher=publisher,
            verifier=Verifier(composer, library, local, name, publisher.quarantine),
            responses=responses,
            refresh=lambda: background(
                _refresh(misses, publisher, grammars), auditor.run(), _trim(), FULL_COLLECTIONS.run()
            ),
            ready=lambda: local.ready() or ("its queue is full" if alone and local.full else None),
        )


def _tell_engine(name: str, folder: Path, model: TileModel) -> None:
    """Log what the kernels' libraries were told, and why an older engine's pages in ``folder`` do not fit this one."""
    if told := kernel_variables():
        logger.info("%s: the kernels obey %s", name, ", ".join(f"{k}={v}" for k, v in told.items()))
    causes = {**model.identity, **kernel_settings()}
    if changed := replace_last_engine(folder, model.fingerprint, causes):
        logger.warning(
            "%s: the pages in %s are of an engine with other bits, and are computed anew (%s)",
            name,
            folder,
            changed,
        )


def _adopt(store: PageStore, registry: Registry) -> None:
    """Count pages for their publishers, and drop those that belong to no document: but not where documents were lost
    to damage, whose pages a restored registry would find again. They make room first when the store is full."""
    owners = registry.page_owners()
    store.assign(owners)
    if aside := registry.set_aside():
        logger.warning(
            "pages of no document are kept while a damaged registry lies beside %s (%s); remove it when it is of no "
            "use any more",
            registry.path,
            aside[0].partition(":")[0],
        )
    elif orphans := store.collect(owners.keys()):
        logger.info("dropped %d stored pages that belong to no published document", orphans)


@asynccontextmanager
async def _background() -> AsyncIterator[Callable[..., None]]:
    """Work that nobody waits for; cancelled at the end."""
    tasks: list[asyncio.Task[None]] = []

    def begin(*works: Coroutine[None, None, None]) -> None:
        for work in works:
            task = asyncio.create_task(work)
            task.add_done_callback(_log_failure)
            tasks.append(task)

    try:
        yield begin
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            # Whoever cancels this task meanwhile is heard, once all of them have ended.
            await whole(_all_ended(tasks))


async def _all_ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _refresh(misses: LitellmBackend, publisher: Publisher, grammars: Grammars) -> None:
    # litellm's import takes seconds, and the tables of a large vocabulary take two: paid here, not by the
    # first miss or the first schema.
    await misses.start()
    # litellm's import alone leaves some 500,000 objects that will never be garbage. Looking through them
    # again and again is 300 ms in which no request moves: they are set aside, and so are the library and the tables.
    set_aside()
    await grammars.prepare()
    await publisher.refresh()
    set_aside()


async def _trim() -> None:
    """What requests of all sizes free lies in pieces between what stays: under an overload of minutes such pieces
    grew by some 14 MB a minute."""
    while True:
        await asyncio.sleep(TRIM_S)
        await asyncio.to_thread(build.return_freed_memory)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("background work failed", exc_info=task.exception())


def figures(local: EmbeddedBackend, library: Library, auditor: Auditor) -> Figures:
    """Collect the engine's, the library's and the audits' counters at this moment."""
    running, waiting = local.load
    pages, audits, drafts = local.occupancy(), auditor.counts, local.drafts
    return Figures(
        running=running,
        waiting=waiting,
        pages={"free": pages.free, "used": pages.held - pages.evictable, "evictable": pages.evictable},
        quarantined=library.quarantined,
        audits={"passed": audits.passed, "failed": audits.failed, "dropped": audits.dropped},
        counters={
            "spec_decode_draft_tokens": drafts.drafted,
            "spec_decode_accepted_tokens": drafts.accepted,
            "preemptions": local.preemptions,
        },
        gauges={"spilled_pages": pages.spilled, "pinned_pages": pages.pinned},
    )
