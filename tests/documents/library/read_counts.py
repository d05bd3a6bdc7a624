"""Counts of reads in a dictionary, for tests of lists."""

from __future__ import annotations

from collections.abc import Mapping

from kvproxy.core import DocumentRef
from kvproxy.documents.library.key_changes import KeyChanges
from kvproxy.documents.library.recorded_reads import RecordedReads


class ReadCounts:
    """Counts that tests set."""

    def __init__(self, counts: Mapping[DocumentRef, RecordedReads] | None = None) -> None:
        self._counts = dict(counts or {})
        self.changes = KeyChanges[DocumentRef]()
        self.looked = 0

    def of(self, ref: DocumentRef) -> RecordedReads:
        self.looked += 1
        return self._counts.get(ref, RecordedReads())

    def put(self, ref: DocumentRef, count: RecordedReads) -> None:
        self._counts[ref] = count
        self.changes.note(ref)
