"""`LocalEngine`: all that only a process with an engine has. Imported only where the configuration has a local model:
torch comes with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.config import Config
from kvproxy.document_files.file_exchange import FileExchange
from kvproxy.documents.library.library import Library
from kvproxy.engine.models.source import ModelFolder
from kvproxy.exactness.audit import Auditor
from kvproxy.manifests.version_manifests import ManifestIssuer
from kvproxy.publish import Publisher
from kvproxy.publishing.lacking_pages import SharedPages
from kvproxy.stack.background import BackgroundTasks, warm_up
from kvproxy.stack.figures import collect_figures
from kvproxy.stack.open_engine import (
    LoadedModel,
    OpenStores,
    RunningEngine,
    open_engine,
    open_model,
    open_stores,
)
from kvproxy.stack.open_files import make_exchange, make_issuer
from kvproxy.stack.open_market import OpenMarket
from kvproxy.stack.open_model import OpenModel
from kvproxy.stack.open_records import OpenRecords
from kvproxy.stack.open_upkeep import make_upkeep
from kvproxy.stack.store_figures import store_state
from kvproxy.telemetry.metrics import Figures
from kvproxy.telemetry.store_state import StoreState
from kvproxy.tiers.tiered_pages import TieredPages
from kvproxy.upkeep.live_upkeep import LiveUpkeep


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """The loaded model, its stores and its running engine, and what is made of them."""

    config: Config
    model: LoadedModel
    stores: OpenStores
    engine: RunningEngine

    @property
    def opened(self) -> OpenModel:
        """The model as the stack takes every model."""
        return OpenModel(self.model.name, self.engine.local, self.model.tokenizer, self.model.template)

    @property
    def records(self) -> OpenRecords:
        """The durable records that lie beside its pages."""
        return self.stores.records

    @property
    def shared_pages(self) -> SharedPages | None:
        """The pages in an object store; None without one."""
        return self.stores.pages if isinstance(self.stores.pages, TieredPages) else None

    def issuer(self, market: OpenMarket) -> ManifestIssuer:
        """Return what signs the manifests of versions."""
        return make_issuer(self.model, self.stores, market)

    def exchange(self, market: OpenMarket, publisher: Publisher) -> FileExchange:
        """Return the ways of documents and their pages in files."""
        return make_exchange(self.config.documents, self.model, self.stores, self.engine, market, publisher)

    def upkeep(self, market: OpenMarket, publisher: Publisher, background: BackgroundTasks) -> LiveUpkeep:
        """Return the check and the repair of the store.

        Example: ``upkeep = local.upkeep(market, documents.publisher, background)``
        """
        folder = self.config.store.path
        return make_upkeep(folder, self.stores, self.engine, market, publisher, background)

    def auditor(self, publisher: Publisher) -> Auditor:
        """Return what audits served hits; its ``run`` belongs into the background."""
        return Auditor(self.engine.samples, self.engine.local, publisher.quarantine)

    def figures(self, library: Library, auditor: Auditor) -> Figures:
        """Return the counters for the metrics."""
        return collect_figures(self.engine.local, library, auditor, self.stores.pages)

    def store_state(self) -> StoreState:
        """Return the tiers of the page store as they are now."""
        return store_state(self.engine.local, self.stores.pages)

    def works(
        self, misses: LitellmBackend, publisher: Publisher, auditor: Auditor
    ) -> list[Coroutine[None, None, None]]:
        """Return the work that serves no request.

        Example: ``background.start(*local.works(misses, publisher, auditor))``
        """
        local, grammars = self.engine.local, self.engine.grammars

        def quiet() -> bool:
            return bool(local.drafts.tokens) and local.load == (0, 0)

        return [warm_up(misses, publisher, quiet, grammars.prepare), auditor.run()]


@asynccontextmanager
async def open_local_engine(config: Config, folder: ModelFolder) -> AsyncIterator[LocalEngine]:
    """Load the model of a resolved folder, open its stores and start its engine; close all in reverse."""
    async with (
        open_model(config.model, folder) as model,
        open_stores(config, model) as stores,
        open_engine(config, model, stores) as engine,
    ):
        yield LocalEngine(config, model, stores, engine)
