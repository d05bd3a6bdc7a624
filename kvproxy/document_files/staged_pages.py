"""`StagedPages`: pages from a file, in a scope that no reader has, until they were checked and planted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from secrets import token_hex

from kvproxy.backends.base import LocalBackend
from kvproxy.core import Kept, KeptPage, stored_key
from kvproxy.core.report_progress import ReportProgress
from kvproxy.document_files.page_sample import page_sample
from kvproxy.documents.library.document import Document
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.errors import DocumentRejected, Unavailable
from kvproxy.runtime.run_to_completion import run_to_completion
from kvproxy.store.page_results import Rejected
from kvproxy.store.page_transfer import ExpectedPage, PageTransfer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StagedFraming:
    """A prefix whose pages came in the file: the token ids are this host's own, and so are the page keys."""

    name: str
    token_ids: tuple[int, ...]
    keys: tuple[bytes, ...]
    tokens: tuple[int, ...]
    """Tokens of each page."""

    def ids(self, index: int) -> tuple[int, ...]:
        """Return the token ids of one page."""
        begin = sum(self.tokens[:index])
        return self.token_ids[begin : begin + self.tokens[index]]


@dataclass(frozen=True, slots=True)
class PagesToCheck:
    """Pages of a kept prefix that came from a file and were not computed again yet."""

    kept: Kept
    indices: tuple[int, ...]


@dataclass(slots=True)
class StagedPages:
    """The pages of one import, an :class:`~kvproxy.publishing.arrivals.Arrival` once ``check`` has returned.

    Their scope has a random name that no caller can have, on disk too: what is wrong in them reaches nobody, and no
    page of this host is replaced by one of them. A process that is killed leaves pages of no document, which the next
    start drops. Event loop only.

    Example:
        ``async with StagedPages(local, transfer, root, caller.scope) as staged: ...``
    """

    local: LocalBackend
    transfer: PageTransfer
    root: bytes
    """The parent key of every first page of this engine."""
    owner: str
    """The scope of the publisher, whom pages and compute are counted for."""
    scope: str = field(default_factory=lambda: f"import:{token_hex(16)}")
    computed: int = 0
    """Positions that were computed to check pages."""
    checked: int = 0
    """Pages that were computed again."""
    framings: list[StagedFraming] = field(default_factory=list)
    unchecked: list[PagesToCheck] = field(default_factory=list)
    """The pages that ``check`` has left out."""

    def parent(self, framing: StagedFraming, index: int) -> bytes:
        """Return the parent key of a page."""
        return framing.keys[index - 1] if index else self.root

    async def put(self, framing: StagedFraming, index: int, file: bytes, digest: bytes) -> None:
        """Keep one page of a framing, whose digest its host has signed. Raises DocumentRejected, StorageFull.

        Example: ``await staged.put(framing, 3, content, bytes.fromhex(page.digest))``
        """
        key = framing.keys[index]
        expected = ExpectedPage(self.parent(framing, index), framing.ids(index), digest)
        refused = await asyncio.to_thread(
            self.transfer.take_in, stored_key(key, self.scope), file, expected, self.owner
        )
        if isinstance(refused, Rejected):
            raise DocumentRejected(f"Page {index} of framing '{framing.name}' is refused: {refused.reason}.")

    async def check(self, share: float, random: Random, progress: ReportProgress | None = None) -> None:
        """Compute a sample of every framing's pages again, and compare it to the bit.

        Raises DocumentRejected: it names the first page with other bits; Unavailable, CannotFit, Overloaded.

        Example: ``await staged.check(0.25, secrets.SystemRandom())``
        """
        for framing in self.framings:
            kept = self._kept(framing)
            if await self.local.known(kept, self.scope, self.owner) < len(framing.token_ids):
                raise Unavailable("Pages of this import are gone; try it again.", retry_after_s=5)
            sample = page_sample(len(kept.pages), share, random)
            found = await self.local.recheck(kept, self.scope, sample, progress, self.owner)
            self.computed += found.computed
            self.checked += found.pages
            if found.bad is not None:
                raise DocumentRejected(await self._blame(kept, framing, found.bad.index))
            rest = tuple(sorted(set(range(len(kept.pages))) - set(sample)))
            self.unchecked.append(PagesToCheck(kept, rest))

    async def _blame(self, kept: Kept, framing: StagedFraming, index: int) -> str:
        """Name the first page with other bits: pages that were computed from a wrong one differ as well."""
        bad = (await self.local.recheck(kept, self.scope, range(index + 1), None, self.owner)).bad
        at = index if bad is None else bad.index
        where = f", from position {bad.position} on, by up to {bad.largest_difference:g}" if bad else ""
        logger.error("an import was refused: page %d of framing %s has other bits%s", at, framing.name, where)
        return (
            f"Page {at} of framing '{framing.name}' has other bits than this engine computes{where}. Nothing of the "
            "file is used; publish the text alone with text_only, and ask its host about this page."
        )

    @property
    def prefixes(self) -> tuple[KeptFraming, ...]:
        """The prefixes whose pages these are."""
        return tuple(KeptFraming(framing.name, self._kept(framing)) for framing in self.framings)

    async def plant(self, document: Document) -> None:
        """Copy the pages into the document's scope, as an arrival does.

        A page that is there already stays: this host's own pages are never replaced by those of a file.
        """
        for framing in self.framings:
            await asyncio.to_thread(self._copy, framing, document)
            await self.local.known(self._kept(framing), document.scope, document.owner_scope)

    def _copy(self, framing: StagedFraming, document: Document) -> None:
        for index, key in enumerate(framing.keys):
            source, target = stored_key(key, self.scope), stored_key(key, document.scope)
            parent, ids = self.parent(framing, index), framing.ids(index)
            if not self.transfer.copy(source, target, parent, ids, self.owner):
                raise Unavailable("Pages of this import are gone; try it again.", retry_after_s=5)

    async def close(self) -> None:
        """Drop the staged pages from memory and disk. What cannot be dropped is logged; the next start drops it."""
        await run_to_completion(self._close())

    async def _close(self) -> None:
        for framing in self.framings:
            try:
                await self.local.forget(self._kept(framing), self.scope, frozenset(), self.owner)
            except Exception as e:  # an error of the disk or of the engine
                logger.error("pages of an import could not be dropped; the next start drops them: %s", e)

    def _kept(self, framing: StagedFraming) -> Kept:
        pages = tuple(KeptPage(key, n) for key, n in zip(framing.keys, framing.tokens, strict=True))
        return Kept(self.transfer.fingerprint, framing.token_ids, pages, 0, 0.0)

    async def __aenter__(self) -> StagedPages:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def staged_framing(
    name: str, token_ids: Sequence[int], keys: Sequence[bytes], page_tokens: int
) -> StagedFraming:
    """Return a framing cut into pages. ``keys``: one for each page.

    Example:
        ``staged_framing("system", prefix.token_ids, keys, 256)``
    """
    ends = [*range(0, len(token_ids), page_tokens), len(token_ids)]
    sizes = tuple(end - begin for begin, end in pairwise(ends))
    return StagedFraming(name, tuple(token_ids), tuple(keys), sizes)
