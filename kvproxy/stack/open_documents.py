"""Opens the published documents of the primary model: its library with composer and publisher."""

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
from kvproxy.manifests.version_manifests import ManifestIssuer
from kvproxy.publish import Publisher
from kvproxy.publishing.lacking_pages import SharedPages
from kvproxy.stack.open_model import OpenModel
from kvproxy.stack.open_records import OpenRecords


@dataclass(frozen=True, slots=True)
class PublishedDocuments:
    """The documents of this process: found by the composer, written by the publisher alone."""

    library: Library
    composer: Composer
    publisher: Publisher


@asynccontextmanager
async def open_documents(
    settings: DocumentSettings,
    opened: OpenModel,
    records: OpenRecords,
    rights: ReadingRights | None = None,
    hosting: PublishCharging | None = None,
    several_tenants: Callable[[], bool] = lambda: False,
    issuer: ManifestIssuer | None = None,
    own_quota: Callable[[str], DocumentQuota | None] = lambda _: None,
    shared: SharedPages | None = None,
) -> AsyncIterator[PublishedDocuments]:
    """Restore the registered documents and open their publisher. ``rights``: the answers about granted documents;
    ``hosting`` charges for new versions; ``several_tenants`` halves the pages that one of them may pin by default;
    ``issuer`` signs the manifests of versions; ``own_quota``: a tenant's own instead of the configured one; ``shared``:
    the pages that processes with the same engine share.

    Example:
        ``async with open_documents(config.documents, opened, records, market.rights) as documents: ...``
    """
    library = Library(rights)
    composer = composer_of(settings, opened, library)
    configured = settings.quota.quota()
    publisher = Publisher(
        composer=composer,
        library=library,
        registry=records.registry,
        local=opened.backend,
        default_visibility=settings.default_visibility,
        max_text=settings.max_text,
        spellings=settings.spellings,
        texts=records.prepared,
        hosting=hosting,
        pin_share=lambda: pin_share(settings.pin_share, several=several_tenants()),
        expiry_grace_s=settings.expiry_grace_s,
        quota_of=lambda tenant: own_quota(tenant) or configured,
        issuer=issuer,
        shared=shared,
    )
    with closing(publisher):
        await publisher.restore()
        yield PublishedDocuments(library, composer, publisher)


def composer_of(settings: DocumentSettings, opened: OpenModel, library: Library) -> Composer:
    """Return what makes a model's prompts, under the configured framings.

    Example: ``composer = composer_of(config.documents, opened, Library(market.rights))``
    """
    framings = [Framing(f.place, f.system) for f in settings.framings]
    return Composer(opened.tokenizer, opened.template, library, framings)


def pin_share(chosen: float | None, *, several: bool) -> float:
    """Return the part of the pages that may be pinned which one tenant may have."""
    if chosen is not None:
        return chosen
    return 0.5 if several else 1.0
