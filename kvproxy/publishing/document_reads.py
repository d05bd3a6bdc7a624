"""`DocumentReads`: reads of document versions from kept pages, and the tokens that they saved."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from kvproxy.core import DocumentRef, Span
from kvproxy.documents.library.key_changes import KeyChanges
from kvproxy.documents.library.recorded_reads import RecordedReads
from kvproxy.documents.registry.registry import Registry
from kvproxy.errors import KVProxyError

logger = logging.getLogger(__name__)

NO_READS = RecordedReads()
WRITE_S = 15.0
"""Seconds between two writes: a kill loses no more figures than these. Money is the ledger's, which loses none."""


class DocumentReads:
    """Figures of reads by version, for people and for choosing what gives way. Event loop only.

    Example:
        ``reads.note(prompt.documents, decision.cached_tokens); reads.of(ref).saved_tokens``
    """

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.time) -> None:
        self._registry = registry
        self._clock = clock
        self._counts: dict[DocumentRef, RecordedReads] = {}
        self.changes = KeyChanges[DocumentRef]()
        """Tells of each version whose figures are others now."""
        self._changed: set[DocumentRef] = set()
        self._written: dict[DocumentRef, RecordedReads] = {}
        """The part of the counts that is recorded: other processes record theirs beside it."""

    async def restore(self, refs: Sequence[DocumentRef]) -> None:
        """Read what earlier processes counted of these versions."""
        recorded = await asyncio.to_thread(self._registry.reads)
        for ref in refs:
            if ref.version is not None and (count := recorded.get((ref.name, ref.version))) is not None:
                self._counts[ref] = self._written[ref] = count
                self.changes.note(ref)

    def note(self, documents: Sequence[Span], cached_tokens: int) -> None:
        """Count a read of each document that begins within the first ``cached_tokens`` positions of a prompt."""
        for span in documents:
            saved = min(span.end, cached_tokens) - span.start
            if saved > 0:
                before = self.of(span.document)
                self._counts[span.document] = RecordedReads(
                    before.reads + 1, int(self._clock()), before.saved_tokens + saved
                )
                self._changed.add(span.document)
                self.changes.note(span.document)

    def of(self, ref: DocumentRef) -> RecordedReads:
        """Return the figures of exactly this version. Safe in any thread."""
        return self._counts.get(ref, NO_READS)

    def forget(self, ref: DocumentRef) -> None:
        """Drop the figures of a version that was deleted."""
        self._counts.pop(ref, None)
        self._written.pop(ref, None)
        self._changed.discard(ref)
        self.changes.note(ref)

    async def write(self) -> None:
        """Write what has changed since the last call. A failure is logged, and tried again with the next write."""
        changed, self._changed = self._changed, set()
        counts = {ref: self._counts[ref] for ref in changed if ref in self._counts}
        if not counts:
            return
        try:
            new = {ref: count.since(self._written.get(ref, NO_READS)) for ref, count in counts.items()}
            await asyncio.to_thread(self._registry.note_reads, new)
            self._written.update((ref, count) for ref, count in counts.items() if ref in self._counts)
        except KVProxyError as e:
            self._changed |= counts.keys()
            logger.warning("reads of documents could not be recorded: %s", e.message)

    async def run(self) -> None:
        """Write every ``WRITE_S`` until cancelled; what was counted last is written then too."""
        try:
            while True:
                await asyncio.sleep(WRITE_S)
                await self.write()
        finally:
            await self.write()
