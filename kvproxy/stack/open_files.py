"""Opens the host's part of manifests, and the exchange of documents in files: of a process with an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kvproxy.config import DocumentSettings
from kvproxy.document_files.document_export import DocumentExporter
from kvproxy.document_files.document_import import DocumentImporter
from kvproxy.document_files.file_exchange import FileExchange
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.manifests.manifest import ManifestEngine, ManifestPolicy
from kvproxy.manifests.shared_manifests import SharedManifests
from kvproxy.manifests.trusted_hosts import TrustedHosts, trusted_host
from kvproxy.manifests.version_manifests import ManifestIssuer
from kvproxy.objects.manifest_objects import ManifestObjects
from kvproxy.publish import Publisher
from kvproxy.stack.open_engine import LoadedModel, OpenStores, RunningEngine
from kvproxy.stack.open_market import OpenMarket
from kvproxy.store.page_transfer import PageTransfer
from kvproxy.tariffs.tariff_history import now_in_ms
from kvproxy.tiers.tiered_pages import TieredPages


def make_issuer(model: LoadedModel, stores: OpenStores, market: OpenMarket) -> ManifestIssuer:
    """Return what every manifest says of this host, its engine and the terms of its documents.

    Example:
        ``issuer = make_issuer(model, stores, market)``
    """
    weights = model.weights
    return ManifestIssuer(
        host=market.host.name,
        keys=market.host_keys,
        engine=ManifestEngine(model.name, weights.fingerprint, dict(weights.identity)),
        pages=page_transfer(stores),
        policies=_policies(market),
        share=_sharing(stores),
    )


def make_exchange(
    settings: DocumentSettings,
    model: LoadedModel,
    stores: OpenStores,
    engine: RunningEngine,
    market: OpenMarket,
    publisher: Publisher,
) -> FileExchange:
    """Return the ways out and in for documents in files. Nothing has to be closed, and no JWKS is read yet.

    Example:
        ``files = make_exchange(config.documents, model, stores, engine, market, documents.publisher)``
    """
    transfer, keys = page_transfer(stores), market.host_keys
    trusted = [trusted_host(host.name, host.jwks, Path()) for host in settings.trusted_hosts]
    importer = DocumentImporter(
        publisher=publisher,
        local=engine.local,
        transfer=transfer,
        hosts=TrustedHosts(market.host.name, keys.jwks, trusted),
        identity=model.weights.identity,
        share=settings.import_check,
        most_page=2 * model.weights.page_shape.bytes + 2**16,
        max_text=settings.max_text,
    )
    assert publisher.manifests is not None, "its issuer is made beside this"
    return FileExchange(DocumentExporter(publisher, publisher.manifests, transfer), importer)


def page_transfer(stores: OpenStores) -> PageTransfer:
    """Return the way of pages from and to other hosts: out of any tier, and in through local files."""
    pages = stores.pages
    return PageTransfer(pages, pages.local if isinstance(pages, TieredPages) else None)


def _sharing(stores: OpenStores) -> Callable[[Document, str], None] | None:
    pages = stores.pages
    if not isinstance(pages, TieredPages):
        return None
    return SharedManifests(ManifestObjects(pages.objects.store)).share


def _policies(market: OpenMarket) -> Callable[[KnownDocument, str], ManifestPolicy]:
    """Return what reads the policy of a version as the market has it now."""

    def policy(known: KnownDocument, publisher: str) -> ManifestPolicy:
        document = known.document
        chosen = market.terms.chosen(document.id, publisher)
        if chosen is None and market.tariffs.at(now_in_ms()) is None:
            return ManifestPolicy(document.visibility, None, "")
        terms = market.terms.terms(document.id, publisher)
        told = {"id": terms.id, "currency": market.currency, **terms.as_json()}
        return ManifestPolicy(document.visibility, told, "" if chosen is None else chosen.licence)

    return policy
