"""Published pages: keeps the pages of all prefixes of a document, and drops those that no document needs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from kvproxy.backends.base import Kept, LocalBackend
from kvproxy.documents.library.document import Document, FramedPrefix
from kvproxy.documents.library.registry import KeptFraming
from kvproxy.errors import KVProxyError
from kvproxy.publishing.holdings import DocumentHolding, Shelf
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


class PublishedPages:
    """Event loop only. Writes pages; what of them a document has is the shelf's, which its callers write."""

    def __init__(self, local: LocalBackend, shelf: Shelf) -> None:
        self._local = local
        self._shelf = shelf
        self._drops: Counter[str] = Counter()

    def drops(self, scope: str) -> int:
        """How often pages of a scope were dropped: a publish that sees it change looks after its own."""
        return self._drops[scope]

    async def keep_all(
        self, document: Document, prefixes: Sequence[FramedPrefix], progress: Progress | None
    ) -> tuple[KeptFraming, ...]:
        """Keep every prefix, counted for the document's publisher, or, when one fails or the publisher leaves, none.
        Raises what ``LocalBackend.keep`` does."""
        scope, owner = document.scope, document.owner_scope
        total = sum(len(p.token_ids) for p in prefixes)
        done = 0
        framings: list[KeptFraming] = []
        try:
            for prefix in prefixes:
                report = partial(_report, progress, done, total) if progress is not None else None
                kept = await self._local.keep(prefix.token_ids, scope, report, owner)
                framings.append(KeptFraming(prefix.name, kept))
                done += len(prefix.token_ids)
        except BaseException:
            await run_to_completion(self.drop([DocumentHolding(scope, tuple(framings))]))
            raise
        return tuple(framings)

    async def keep_dropped(self, document: Document, framings: Sequence[KeptFraming]) -> None:
        """A deletion meanwhile may have taken shared pages that were not yet known to be needed."""
        for framing in framings:
            kept = framing.kept
            if await self._local.known(kept, document.scope) < tokens_of(kept):
                try:
                    await self._local.keep(kept.token_ids, document.scope, owner=document.owner_scope)
                except KVProxyError as e:
                    logger.warning(
                        "a prefix of %d tokens is without pages: %s", len(kept.token_ids), e.message
                    )

    async def drop(self, holdings: Sequence[DocumentHolding]) -> None:
        """Drop what no document on the shelf needs. What cannot be dropped is logged, and costs no other page its
        end: nobody finds it any more, and the next start drops what belongs to no document.

        Each scope has its own pages, on disk too: nothing here is done more, or less, because another scope has the
        same text.
        """
        for holding in holdings:
            self._drops[holding.scope] += 1
            needed = self._shelf.needed(holding.keys, holding.scope)
            for framing in holding.framings:
                if any(page.key not in needed for page in framing.kept.pages):
                    try:
                        await self._local.forget(framing.kept, holding.scope, needed)
                    except Exception as e:  # a disk's or the engine's
                        logger.error(
                            "pages of a prefix of %d tokens could not be dropped: %s",
                            len(framing.kept.token_ids),
                            e,
                        )


def tokens_of(kept: Kept) -> int:
    return sum(page.tokens for page in kept.pages)


def _report(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)
