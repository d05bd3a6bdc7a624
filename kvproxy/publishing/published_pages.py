"""`PublishedPages`: keeps the pages of all prefixes of a document, and drops pages that no document needs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial

from kvproxy.backends.base import Kept, LocalBackend
from kvproxy.core.report_progress import ReportProgress
from kvproxy.documents.library.document import Document, FramedPrefix
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.errors import KVProxyError
from kvproxy.publishing.arrivals import Arrival
from kvproxy.publishing.holdings import DocumentHolding, Holdings
from kvproxy.runtime.request_context import traced_work
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)


class PublishedPages:
    """Keeps and drops published pages; the callers record them in the holdings. Event loop only."""

    def __init__(self, local: LocalBackend, holdings: Holdings) -> None:
        self._local = local
        self._holdings = holdings
        self._drops: Counter[str] = Counter()

    def drops(self, scope: str) -> int:
        """Return the count of page drops in a scope: a publish that sees it change checks its own pages again."""
        return self._drops[scope]

    async def keep_all(
        self,
        document: Document,
        prefixes: Sequence[FramedPrefix],
        progress: ReportProgress | None,
        arrival: Arrival | None = None,
        reuse: tuple[str, ...] = (),
    ) -> tuple[KeptFraming, ...]:
        """Keep every prefix, counted for the document's publisher, or none when one fails or the publish is
        cancelled. ``arrival``: pages that are planted first, and are then found instead of computed.
        ``reuse``: scopes of the publisher's earlier versions, whose pages are copied where they fit.

        Raises the errors of ``LocalBackend.keep``.

        Example:
            ``framings = await pages.keep_all(document, prepared.prefixes, None)``
        """
        scope, owner = document.scope, document.owner_scope
        total = sum(len(p.token_ids) for p in prefixes)
        done = 0
        framings: list[KeptFraming] = []
        planted = () if arrival is None else arrival.prefixes
        try:
            if arrival is not None:
                with traced_work("plant"):
                    await arrival.plant(document)
            for prefix in prefixes:
                report = partial(_report, progress, done, total) if progress is not None else None
                with traced_work("prefill", prefix.name) as work:
                    kept = await self._local.keep(prefix.token_ids, scope, report, owner, reuse)
                    work.tokens = kept.computed
                framings.append(KeptFraming(prefix.name, kept))
                done += len(prefix.token_ids)
        except BaseException:
            await run_to_completion(self.drop([DocumentHolding(scope, (*framings, *planted), owner)]))
            raise
        return tuple(framings)

    async def keep_dropped(self, document: Document, framings: Sequence[KeptFraming]) -> None:
        """Keep pages again that a concurrent deletion took before they were recorded as needed."""
        scope, owner = document.scope, document.owner_scope
        for framing in framings:
            kept = framing.kept
            if await self._local.known(kept, scope, owner) < tokens_of(kept):
                try:
                    await self._local.keep(kept.token_ids, scope, owner=owner)
                except KVProxyError as e:
                    logger.warning(
                        "the pages of a prefix of %d tokens could not be kept; its readers are prefilled: %s",
                        len(kept.token_ids),
                        e.message,
                    )

    async def drop(self, holdings: Sequence[DocumentHolding]) -> None:
        """Drop the pages that no recorded document needs.

        A page that cannot be dropped is logged and does not stop the others; no lookup finds it any more, and the
        next start drops all pages of no document. Each scope has its own pages, on disk too: the same text in another
        scope changes nothing here, neither results nor timing.
        """
        for holding in holdings:
            self._drops[holding.scope] += 1
            needed = self._holdings.needed(holding.keys, holding.scope)
            for framing in holding.framings:
                pages = framing.kept.pages
                # A prefix without pages is a fleet's: it is kept warm no longer. Another document of the same text is
                # not either, until it is read by a proxy that was started since; nothing is lost by it but time.
                if not pages or any(page.key not in needed for page in pages):
                    try:
                        await self._local.forget(framing.kept, holding.scope, needed, holding.owner)
                    except Exception as e:  # an error of the disk or of the engine
                        logger.error(
                            "pages of a prefix of %d tokens could not be dropped; the next start drops them: %s",
                            len(framing.kept.token_ids),
                            e,
                        )


def tokens_of(kept: Kept) -> int:
    """Return the number of tokens in the pages of a record."""
    return sum(page.tokens for page in kept.pages)


def _report(progress: ReportProgress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)
