"""Reads of versions: counted by what they saved, written in the background, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from kvproxy.core import PUBLIC, DocumentRef, Span
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.documents.library.recorded_reads import RecordedReads
from kvproxy.errors import StorageFull
from kvproxy.publishing import document_reads
from kvproxy.publishing.document_reads import NO_READS, DocumentReads
from tests.documents.registry.own_registry import OwnRegistry
from tests.server.doubles import eventually

ONE, TWO = DocumentRef("handbook", 1), DocumentRef("handbook", 2)
NOW = 1_700_000_000


class Disk(OwnRegistry):
    """A registry whose disk can be full."""

    full = False

    def note_reads(self, reads: Mapping[DocumentRef, RecordedReads]) -> None:
        if self.full:
            raise StorageFull("the disk is full")
        super().note_reads(reads)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Disk]:
    with closing(Disk(tmp_path)) as registry:
        for ref in (ONE, TWO):
            text = f"version {ref.version}"
            version = ref.version or 0
            registry.publish(Document(ref.id, version, text, etag_of(text), "public", "tenant:a", NOW), [])
        yield registry


@pytest.fixture
def reads(registry: Disk) -> DocumentReads:
    return DocumentReads(registry, lambda: NOW + 0.75)


async def restored(registry: Disk, *refs: DocumentRef) -> DocumentReads:
    reads = DocumentReads(registry)
    await reads.restore(refs)
    return reads


def written(registry: Disk, ref: DocumentRef) -> bool:
    return (ref.name, ref.version) in registry.reads()


async def cancelled(running: asyncio.Future[None]) -> None:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def span(ref: DocumentRef, start: int, end: int) -> Span:
    return Span(ref, start, end, PUBLIC)


def test_a_read_saves_what_of_the_document_was_not_computed(reads: DocumentReads) -> None:
    reads.note([span(ONE, 10, 400)], 300)
    assert reads.of(ONE) == RecordedReads(1, NOW, 290)
    reads.note([span(ONE, 10, 400), span(TWO, 420, 500)], 450)
    assert reads.of(ONE) == RecordedReads(2, NOW, 290 + 390)
    assert reads.of(TWO) == RecordedReads(1, NOW, 30)
    assert reads.of(DocumentRef("handbook")) == NO_READS, "figures are of exactly one version"


@pytest.mark.parametrize("cached", [0, 9, 10])
def test_a_document_of_which_nothing_was_kept_was_not_read(reads: DocumentReads, cached: int) -> None:
    reads.note([span(ONE, 10, 400)], cached)
    assert reads.of(ONE) == NO_READS


async def test_figures_survive_a_restart(registry: Disk, reads: DocumentReads) -> None:
    reads.note([span(ONE, 0, 400)], 400)
    await reads.write()
    again = await restored(registry, ONE, TWO)
    assert (again.of(ONE), again.of(TWO)) == (RecordedReads(1, NOW, 400), NO_READS)
    again.note([span(ONE, 0, 400)], 100)
    await again.write()
    assert registry.reads()["handbook", 1].saved_tokens == 500
    assert (await restored(registry, TWO)).of(ONE) == NO_READS, "those that are not served are left out"


async def test_only_what_has_changed_is_written(registry: Disk, reads: DocumentReads) -> None:
    reads.note([span(ONE, 0, 400)], 400)
    await reads.write()
    registry.note_reads({ONE: RecordedReads(7, 7, 7)})
    reads.note([span(TWO, 0, 400)], 400)
    await reads.write()
    assert registry.reads() == {
        ("handbook", 1): RecordedReads(8, NOW, 407),
        ("handbook", 2): RecordedReads(1, NOW, 400),
    }


async def test_several_proxies_count_beside_each_other(registry: Disk, reads: DocumentReads) -> None:
    other = await restored(registry, ONE)
    for _ in range(2):
        for each in (reads, other):
            each.note([span(ONE, 0, 400)], 400)
            await each.write()
    assert registry.reads()["handbook", 1].saved_tokens == 4 * 400


async def test_a_deleted_version_is_not_written_any_more(registry: Disk, reads: DocumentReads) -> None:
    reads.note([span(ONE, 0, 400)], 400)
    reads.forget(ONE)
    reads.forget(TWO)
    await reads.write()
    assert reads.of(ONE) == NO_READS and registry.reads() == {}


async def test_a_full_disk_delays_the_figures_and_loses_none(
    registry: Disk, reads: DocumentReads, caplog: pytest.LogCaptureFixture
) -> None:
    registry.full = True
    reads.note([span(ONE, 0, 400)], 400)
    with caplog.at_level(logging.WARNING):
        await reads.write()
    assert "could not be recorded: the disk is full" in caplog.text
    registry.full = False
    await reads.write()
    assert registry.reads() == {("handbook", 1): RecordedReads(1, NOW, 400)}


async def test_figures_are_written_now_and_then(
    registry: Disk, reads: DocumentReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_reads, "WRITE_S", 0.01)
    running = asyncio.ensure_future(reads.run())
    for ref in (ONE, TWO):
        reads.note([span(ref, 0, 400)], 400)
        await eventually(partial(written, registry, ref))
    await cancelled(running)


async def test_what_was_counted_last_is_written_at_the_end(registry: Disk, reads: DocumentReads) -> None:
    running = asyncio.ensure_future(reads.run())
    await asyncio.sleep(0)
    reads.note([span(ONE, 0, 400)], 400)
    assert registry.reads() == {}
    await cancelled(running)
    assert registry.reads() == {("handbook", 1): RecordedReads(1, NOW, 400)}
