"""`DocumentUses`: the uses of documents that are not recorded yet, by document, reader and day. Bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kvproxy.core import DocumentRef
from kvproxy.telemetry.usage.document_use import DocumentDay, DocumentUse
from kvproxy.telemetry.usage.ended_request import EndedRequest
from kvproxy.telemetry.usage.usage_store import DAY_S, EVERYBODY, DocumentKey

MOST_UNWRITTEN = 20_000
"""Keys that may wait for the database; further ones are not counted while it is away."""


class _Tally:
    __slots__ = ("cached_tokens", "last_read", "misses", "reads", "saved_nano", "saved_us")

    def __init__(self) -> None:
        self.reads = self.misses = self.cached_tokens = self.saved_us = self.saved_nano = 0
        self.last_read: int | None = None

    def count(self, tokens: int, ended: EndedRequest) -> None:
        """Add one passage. Its part of what was saved is that of its tokens."""
        if not tokens:
            self.misses += 1
            return
        whole = max(ended.cached_tokens, tokens)
        self.reads += 1
        self.cached_tokens += tokens
        self.last_read = int(ended.at)
        self.saved_us += ended.saved_us * tokens // whole
        self.saved_nano += ended.saved_nano * tokens // whole

    def add(self, use: DocumentUse, currency: str) -> None:
        self.reads += use.reads
        self.misses += use.misses
        self.cached_tokens += use.cached_tokens
        self.last_read = max(self.last_read or 0, use.last_read or 0) or None
        self.saved_us += use.saved_us
        self.saved_nano += use.saved.get(currency, 0)

    def use(self, currency: str) -> DocumentUse:
        saved = {currency: self.saved_nano} if currency else {}
        return DocumentUse(self.reads, self.misses, self.cached_tokens, self.last_read, self.saved_us, saved)


_Reader = tuple[str, int, str]
"""Name and version of a document, and its reader."""

_Day = tuple[int, str]
"""Day and currency."""


class DocumentUses:
    """Uses of document versions by each reader and by all. Event loop only."""

    def __init__(self) -> None:
        self._unwritten: dict[_Reader, dict[_Day, _Tally]] = {}
        self._writing: dict[DocumentKey, DocumentUse] = {}
        self._count = 0

    def count(self, ended: EndedRequest) -> None:
        """Add the documents of a request; nothing where it asked to read none of them from kept pages. O(documents in
        its prompt)."""
        if ended.asked_cold:
            return
        day = (int(ended.at // DAY_S), ended.currency)
        # The reads of a tenant that keeps nothing are those of nobody in particular.
        readers = (EVERYBODY, ended.tenant) if ended.retain else (EVERYBODY,)
        for passage in ended.passages:
            document = passage.document
            if document.version is not None:
                name = document.name
                for reader in readers:
                    tally = self._tally((name, document.version, reader), day)
                    if tally is not None:
                        tally.count(passage.cached_tokens, ended)

    def use(self, ref: DocumentRef, reader: str) -> DocumentUse:
        """Return what is not recorded of a version."""
        total = DocumentUse()
        for _, use in self._of(ref, reader):
            total += use
        return total

    def days(self, ref: DocumentRef, reader: str) -> list[DocumentDay]:
        """Return what is not recorded of a version, by day."""
        return [DocumentDay(day, use) for day, use in self._of(ref, reader)]

    def take(self) -> Mapping[DocumentKey, DocumentUse]:
        """Return the uses that are not recorded, which are being written from now on."""
        self._writing = {
            DocumentKey(*reader, *day): tally.use(day[1])
            for reader, days in self._unwritten.items()
            for day, tally in days.items()
        }
        self._unwritten, self._count = {}, 0
        return self._writing

    def written(self) -> None:
        """Note that what was taken is recorded."""
        self._writing = {}

    def give_back(self) -> None:
        """Keep what was taken for the next time: it could not be written."""
        taken, self._writing = self._writing, {}
        for key, use in taken.items():
            tally = self._tally((key.name, key.version, key.tenant), (key.day, key.currency))
            if tally is not None:
                tally.add(use, key.currency)

    def _tally(self, reader: _Reader, day: _Day) -> _Tally | None:
        """Return the tally of a reader's day; None where too many wait already."""
        days = self._unwritten.get(reader)
        tally = None if days is None else days.get(day)
        if tally is not None or self._count >= MOST_UNWRITTEN:
            return tally
        self._count += 1
        tally = _Tally()
        self._unwritten.setdefault(reader, {})[day] = tally
        return tally

    def _of(self, ref: DocumentRef, reader: str) -> Iterator[tuple[int, DocumentUse]]:
        if ref.version is not None:
            for (day, currency), tally in self._unwritten.get((ref.name, ref.version, reader), {}).items():
                yield day, tally.use(currency)
            for key, use in self._writing.items():
                if (key.name, key.version, key.tenant) == (ref.name, ref.version, reader):
                    yield key.day, use
