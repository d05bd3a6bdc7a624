"""`PageWriter`: pages are written one after another, retained meanwhile, and released however it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

import pytest

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_io import PageIO
from kvproxy.engine.cache.page_writer import PageWriter
from kvproxy.errors import Unavailable
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected
from kvproxy.store.stored_pages import Tier
from tests.engine.cache.small_cache import TOKENS, keep, make_cache

CHAIN = TOKENS[: 2 * PAGE_TOKENS]


class SizesStore:
    """A store of payload sizes by token ids, which fails once it has ``most`` pages."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[int, ...], int] = {}
        self.most = 99

    def put(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], payload: bytes, owner: str | None = None
    ) -> None:
        if len(self.sizes) == self.most:
            raise Unavailable("the disk fails")
        self.sizes[tuple(token_ids)] = len(payload)

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
    ) -> Loaded | Missing | Rejected:
        return Missing()

    def has(self, key: bytes) -> bool:
        return True

    def tier(self, key: bytes) -> Tier | None:
        return "disk"


class WriterHarness:
    """A cache of four pages and its writer; results of writes wait until ``run`` takes them."""

    def __init__(self) -> None:
        self.cache = make_cache(4)
        self.store = SizesStore()
        self.calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.io = PageIO(self.store, self.cache.pool, self.calls.put)
        self.writer = PageWriter(self.cache, self.io)
        self.ended: list[Exception | None] = []

    def run(self) -> None:
        """Take one result."""
        self.calls.get(timeout=10)()


@pytest.fixture
def harness() -> Iterator[WriterHarness]:
    made = WriterHarness()
    yield made
    made.io.close()
    assert made.cache.check([]) == []


def test_pages_are_written_in_order_and_retained_until_the_last_is(harness: WriterHarness) -> None:
    nodes = keep(harness.cache, CHAIN)
    harness.writer.save(nodes, harness.ended.append)
    assert harness.cache.occupancy().evictable == 0 and harness.ended == []
    harness.run()
    assert [n.stored for n in nodes] == [True, False] and harness.cache.occupancy().evictable == 0
    harness.run()
    assert harness.ended == [None] and all(n.stored for n in nodes)
    assert harness.cache.occupancy().evictable == 2
    assert list(harness.store.sizes) == [CHAIN[:PAGE_TOKENS], CHAIN[PAGE_TOKENS:]]
    assert set(harness.store.sizes.values()) == {harness.cache.pool.shape.bytes}
    harness.writer.save(nodes, harness.ended.append)
    assert harness.ended == [None, None] and harness.calls.empty(), "stored pages are not written again"


def test_an_error_ends_it_and_releases_the_pages(harness: WriterHarness) -> None:
    nodes = keep(harness.cache, CHAIN)
    harness.store.most = 1
    harness.writer.save(nodes, harness.ended.append)
    harness.run()
    harness.run()
    assert isinstance(harness.ended[0], Unavailable) and len(harness.ended) == 1
    assert [n.stored for n in nodes] == [True, False] and harness.cache.occupancy().evictable == 2


def test_a_document_that_is_deleted_meanwhile_is_not_stored(harness: WriterHarness) -> None:
    nodes = keep(harness.cache, CHAIN)
    harness.writer.save(nodes, harness.ended.append)
    harness.cache.discard(nodes[0])
    harness.run()
    assert isinstance(harness.ended[0], Unavailable) and "deleted" in str(harness.ended[0])
    assert harness.cache.occupancy().held == 0


def test_pages_are_restored_once_at_a_time(harness: WriterHarness) -> None:
    nodes = keep(harness.cache, TOKENS[:PAGE_TOKENS])
    harness.writer.restore(nodes)
    harness.writer.restore(nodes)
    harness.run()
    assert nodes[0].stored and harness.calls.empty()
    harness.writer.restore(nodes)
    assert harness.calls.empty(), "a stored page is not written again"


def test_a_page_is_not_another_sequences_while_it_is_being_written(harness: WriterHarness) -> None:
    nodes = keep(harness.cache, TOKENS[:PAGE_TOKENS])
    page = nodes[0].page
    harness.writer.save(nodes, harness.ended.append)
    harness.cache.discard(nodes[0])
    assert harness.writer.pages == [page] and harness.cache.occupancy().held == 1
    assert harness.cache.check([harness.writer.pages]) == []
    harness.run()
    assert harness.writer.pages == [] and harness.cache.occupancy().held == 0


def test_a_full_disk_is_said_once_tried_again_later_and_recovers(
    harness: WriterHarness, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, health = keep(harness.cache, CHAIN), harness.writer.health
    harness.store.most = 0
    with caplog.at_level(logging.INFO):
        harness.writer.restore(nodes)
        harness.run()
        assert health.failing and not any(n.stored for n in nodes)
        for _ in range(3):
            harness.writer.restore(nodes)
        assert harness.calls.empty(), "not tried with every request"
        assert [r.levelname for r in caplog.records] == ["WARNING"]
        assert all(n.page is not None for n in nodes), "they are served from memory"
        harness.store.most = 9
        monkeypatch.setattr(health, "_resumes_at", 0.0)
        harness.writer.restore(nodes)
        harness.run()
        harness.run()
    assert all(n.stored for n in nodes)
    assert (harness.writer.health.failing, harness.writer.health.failures) == (False, 1)
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]


def test_a_deleted_document_says_nothing_about_the_disk(harness: WriterHarness) -> None:
    nodes = keep(harness.cache, CHAIN)
    harness.writer.restore(nodes)
    harness.cache.discard(nodes[0])
    harness.run()
    assert not harness.writer.health.failing
