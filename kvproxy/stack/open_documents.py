"""Opens the published documents: the library with its composer and publisher, and the checks of their exactness."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from kvproxy.charging.publish_charges import PublishCharging
from kvproxy.config import DocumentSettings
from kvproxy.core.document_quota import DocumentQuota
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.reading_rights import ReadingRights
from kvproxy.documents.prompts.compose import Composer
from kvproxy.exactness.audit import Auditor
from kvproxy.exactness.verify import Verifier
from kvproxy.manifests.version_manifests import ManifestIssuer
from kvproxy.publish import Publisher
from kvproxy.stack.open_engine import LoadedModel, OpenStores, RunningEngine


@dataclass(frozen=True, slots=True)
class PublishedDocuments:
    """The documents of this process: found by the composer, written by the publisher alone."""

    library: Library
    composer: Composer
    publisher: Publisher


@dataclass(frozen=True, slots=True)
class ExactnessChecks:
    """The two checks of hits against prefills: on request, and of a share of the served hits."""

    verifier: Verifier
    auditor: Auditor


@asynccontextmanager
async def open_documents(
    settings: DocumentSettings,
    model: LoadedModel,
    stores: OpenStores,
    engine: RunningEngine,
    rights: ReadingRights | None = None,
    hosting: PublishCharging | None = None,
    several_tenants: Callable[[], bool] = lambda: False,
    issuer: ManifestIssuer | None = None,
    own_quota: Callable[[str], DocumentQuota | None] = lambda _: None,
) -> AsyncIterator[PublishedDocuments]:
    """Restore the registered documents and open their publisher. ``rights``: the answers about granted documents;
    ``hosting`` charges for new versions; ``several_tenants`` halves the pages that one of them may pin by default;
    ``issuer`` signs the manifests of versions; ``own_quota``: a tenant's own instead of the configured one.

    Example:
        ``async with open_documents(config.documents, model, stores, engine, market.rights) as documents: ...``
    """
    library = Library(rights)
    framings = [Framing(f.place, f.system) for f in settings.framings]
    composer = Composer(model.tokenizer, model.template, library, framings)
    configured = settings.quota.quota()
    publisher = Publisher(
        composer=composer,
        library=library,
        registry=stores.registry,
        local=engine.local,
        default_visibility=settings.default_visibility,
        max_text=settings.max_text,
        spellings=settings.spellings,
        texts=stores.prepared,
        hosting=hosting,
        pin_share=lambda: pin_share(settings.pin_share, several=several_tenants()),
        expiry_grace_s=settings.expiry_grace_s,
        quota_of=lambda tenant: own_quota(tenant) or configured,
        issuer=issuer,
    )
    with closing(publisher):
        await publisher.restore()
        yield PublishedDocuments(library, composer, publisher)


def pin_share(chosen: float | None, *, several: bool) -> float:
    """Return the part of the pages that may be pinned which one tenant may have."""
    if chosen is not None:
        return chosen
    return 0.5 if several else 1.0


def make_checks(name: str, engine: RunningEngine, documents: PublishedDocuments) -> ExactnessChecks:
    """Make the verifier and the auditor, which share the publisher's quarantine. Neither has anything to close.

    Example:
        ``checks = make_checks("qwen3-4b", engine, documents)``
    """
    quarantine = documents.publisher.quarantine
    return ExactnessChecks(
        Verifier(documents.composer, documents.library, engine.local, name, quarantine),
        Auditor(engine.samples, engine.local, quarantine),
    )
