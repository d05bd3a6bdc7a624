"""No page is copied or cleared under the cache's lock, and who looks one up meanwhile finds it whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_costs import PageCosts, PageWork
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex, PrefixMatch
from kvproxy.engine.cache.spill_tier import SpillTier
from tests.engine.spill_files import MemoryFiles

SHAPE = PageShape(layers=1, kv_heads=1, head_dim=2, dtype=torch.float32)


class WatchedPool(PagePool):
    """Asserts that the cache's lock is free whenever it moves a page's bytes; ``during`` runs on another thread while
    it does."""

    def __init__(self, pages: int) -> None:
        super().__init__(SHAPE, pages + 1, torch.device("cpu"))
        self.lock: threading.Lock | None = None
        self.during: list[threading.Thread] = []
        self.fail = False
        self.moved: list[str] = []

    def _move(self, what: str) -> None:
        assert self.lock is None or not self.lock.locked(), f"{what} under the cache's lock"
        self.moved.append(what)
        if self.during:
            thread = self.during.pop()
            thread.start()
            thread.join(10)
            assert not thread.is_alive(), "it waits for the copy"
        if self.fail:
            raise RuntimeError("the copy failed")

    def read_into(self, page: int, target: bytearray, positions: int = PAGE_TOKENS) -> memoryview:
        self._move("spilled")
        return super().read_into(page, target, positions)

    def clear(self, page: int) -> None:
        self._move("cleared")
        super().clear(page)


class Home:
    """A cache of three pages above a spill tier, and lookups by another thread while a page is moved."""

    def __init__(self) -> None:
        self.pool = WatchedPool(3)
        self.files = MemoryFiles(4, SHAPE.bytes)
        costs = PageCosts(PageWork(linear=1e12, attention=0.0), SHAPE.bytes, spills=True)
        self.cache = KVCache(self.pool, PrefixIndex(root_key("test")), costs)
        self.spill: SpillTier = self.cache.spill_into(self.files, self.files.calls.append)
        self.pool.lock = self.cache._lock

    def keep(self, *firsts: int) -> list[Node]:
        assert self.cache.reserve(len(firsts))
        pages: list[int] = []
        nodes: list[Node] = []
        for first in firsts:
            pages.append(self.cache.take(None))
            self.pool.write(pages[-1], bytes([first]) * SHAPE.bytes)
            node = self.cache.register("a", nodes[-1] if nodes else None, (first,) * PAGE_TOKENS, pages[-1])
            assert node is not None
            nodes.append(node)
        self.cache.return_pages(pages)
        return nodes

    def hold_during_the_next_move(self, first: int, until: threading.Event) -> list[PrefixMatch]:
        """Another thread holds a page while the next one is moved, and until then."""
        found: list[PrefixMatch] = []
        there = threading.Event()

        def hold() -> None:
            with self.cache.retain_match((first,) * (PAGE_TOKENS + 1), ("a",)) as match:
                found.append(match)
                there.set()
                assert until.wait(10)

        holder = threading.Thread(target=hold, daemon=True)

        def begin() -> None:
            holder.start()
            assert there.wait(10)

        self.pool.during = [threading.Thread(target=begin)]
        return found


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.spill.close()


def test_pages_are_spilled_and_cleared_without_the_lock(home: Home) -> None:
    home.keep(1, 2, 3)
    assert home.cache.reserve(3)
    pages = [home.cache.take(None) for _ in range(3)]
    assert home.pool.moved.count("spilled") == 3 and home.pool.moved.count("cleared") == 6
    assert all(not home.pool.rows(page).any() for page in pages)
    home.cache.return_pages(pages)
    assert home.cache.check([]) == []


def test_a_page_found_while_it_is_spilled_stays_and_another_is_evicted(home: Home) -> None:
    (wanted,) = home.keep(1)
    (spare,) = home.keep(2)
    home.keep(3)
    home.cache.note_use([spare, *home.cache.match((3,) * PAGE_TOKENS, ("a",), PAGE_TOKENS).nodes])
    until = threading.Event()
    found = home.hold_during_the_next_move(1, until)
    assert home.cache.reserve(1)
    page = home.cache.take(None)
    assert found[0].nodes == (wanted,) and wanted.page is not None
    assert home.pool.read(wanted.page) == bytes([1]) * SHAPE.bytes
    assert wanted.spilled, "its copy is there for the next time"
    assert home.cache.check([[page]]) == []
    until.set()
    home.cache.return_pages([page])


def test_a_reserved_page_found_while_it_is_spilled_cannot_be_retained(home: Home) -> None:
    home.keep(1, 2, 3)
    assert home.cache.reserve(3)
    until = threading.Event()
    found = home.hold_during_the_next_move(1, until)
    pages = [home.cache.take(None) for _ in range(3)]
    assert found[0].nodes == ()
    assert home.cache.check([pages]) == []
    until.set()
    home.cache.return_pages(pages)


def test_a_copy_that_fails_costs_neither_the_page_nor_the_reservation(home: Home) -> None:
    nodes = home.keep(1, 2, 3)
    assert home.cache.reserve(1)
    home.pool.fail = True
    with pytest.raises(RuntimeError):
        home.cache.take(None)
    home.pool.fail = False
    assert all(n.page is not None and not n.spilled for n in nodes)
    assert home.cache.check([]) == []
    page = home.cache.take(None)
    assert nodes[2].page is None and nodes[2].spilled
    assert home.cache.check([[page]]) == []
    home.cache.return_pages([page])
    home.pool.fail = True
    assert home.cache.reserve(1)
    with pytest.raises(RuntimeError):
        home.cache.take(None)
    home.pool.fail = False
    assert home.cache.check([]) == [] and home.cache.occupancy().free == 1
    home.cache.return_pages([home.cache.take(None)])
