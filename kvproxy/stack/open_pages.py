"""Opens the pages that outlive the process: local files, encrypted where there is a key, and an object store behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager

from kvproxy.codecs.first_layer_codec import FirstLayerRows
from kvproxy.config import StoreSettings
from kvproxy.core.page_form import PageForm
from kvproxy.errors import SetupError
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_store import ObjectStore
from kvproxy.sealing.encryption_key import parse_key
from kvproxy.sealing.page_cipher import PageCipher
from kvproxy.stack.page_codecs import AUTO, codec_of, decoder_of
from kvproxy.store.compression_choice import CompressionChoice
from kvproxy.store.page_store import PageStore
from kvproxy.tiers.pending_deletes import FILE, PendingDeletes
from kvproxy.tiers.tiered_pages import TieredPages

logger = logging.getLogger(__name__)

LISTED_S = 60.0
"""Seconds that a start waits for the first listing of an object store; it goes on without it then."""

OpenPages = PageStore | TieredPages


@contextmanager
def open_pages(
    settings: StoreSettings, fingerprint: str, form: PageForm, engine: FirstLayerRows | None = None
) -> Iterator[OpenPages]:
    """Open the pages of an engine until the block ends; :func:`wait_for_names` before they are looked for. Raises
    SetupError.

    Example: ``with open_pages(config.store, model.fingerprint, model.page_shape.form) as pages: ...``
    """
    seal = None
    if settings.encryption_keys:
        seal = PageCipher([parse_key(key) for key in settings.encryption_keys])
        logger.info("pages are encrypted with the key %s", seal.key_id)
    store = None if settings.objects.url is None else ObjectStore(address_of(settings))
    with PageStore(
        settings.path,
        max_size=settings.max_size,
        fingerprint=fingerprint,
        form=form,
        codec=codec_of(settings.compression, form, engine),
        decoder=decoder_of(form, engine),
        compress=CompressionChoice(always=settings.compression != AUTO or store is not None),
        seal=seal,
    ) as local:
        if store is None:
            yield local
            return
        try:
            deletes = PendingDeletes(settings.path / FILE)
        except OSError as e:
            raise SetupError(f"{settings.path / FILE} cannot be read: {e.strerror}") from e
        tiers = TieredPages(
            local,
            ObjectPages(store, fingerprint),
            deletes,
            acknowledge=settings.objects.acknowledge,
            relist_s=settings.objects.relist_s,
        )
        with closing(tiers):
            yield tiers


def wait_for_names(pages: OpenPages) -> None:
    """Wait until the object store was listed, where there is one, so that its pages are found. Blocking, bounded."""
    if isinstance(pages, TieredPages) and not pages.wait_for_names(LISTED_S):
        logger.warning("starting without the object store's pages; they are used once it can be listed")


def address_of(settings: StoreSettings) -> ObjectAddress:
    """Return the address of the object store; ``settings.objects.url`` is set."""
    objects = settings.objects
    assert objects.url is not None
    return ObjectAddress(
        objects.url, objects.options, objects.timeout_s, objects.attempts, objects.most_at_once
    )
