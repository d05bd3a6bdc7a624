"""`PublishingParts`: what publishing, restoring, ending, warming and confining versions share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kvproxy.backends.base import LocalBackend
from kvproxy.documents.library.library import Library
from kvproxy.documents.prepared.prepared_texts import PreparedTexts
from kvproxy.documents.registry.registry import Registry
from kvproxy.publishing.document_locks import DocumentLocks
from kvproxy.publishing.document_pins import Pins
from kvproxy.publishing.document_reads import DocumentReads
from kvproxy.publishing.holdings import Holdings
from kvproxy.publishing.published_pages import PublishedPages
from kvproxy.publishing.text_preparation import TextPreparer


@dataclass(frozen=True, slots=True)
class PublishingParts:
    """The library, registry and pages of one publisher, which alone writes them, and what keeps the writes apart."""

    library: Library
    registry: Registry
    local: LocalBackend
    preparer: TextPreparer
    texts: PreparedTexts | None
    """The prepared texts on disk; None: every document is tokenised again at a start."""
    holdings: Holdings
    pages: PublishedPages
    locks: DocumentLocks
    reads: DocumentReads
    pins: Pins

    @property
    def fingerprint(self) -> str:
        """The engine whose records of kept pages are read and written."""
        return self.local.info.fingerprint


def make_parts(
    library: Library,
    registry: Registry,
    local: LocalBackend,
    preparer: TextPreparer,
    texts: Path | None,
    pin_share: Callable[[], float],
) -> PublishingParts:
    """Make the parts of one publisher. ``texts``: the file of prepared texts.

    Example:
        ``parts = make_parts(library, registry, local, preparer, None, lambda: 1.0)``
    """
    holdings = Holdings()
    return PublishingParts(
        library=library,
        registry=registry,
        local=local,
        preparer=preparer,
        texts=None if texts is None else PreparedTexts(texts, preparer.recipe()),
        holdings=holdings,
        pages=PublishedPages(local, holdings),
        locks=DocumentLocks(registry.locks),
        reads=DocumentReads(registry),
        pins=Pins(registry, local, holdings, pin_share),
    )
