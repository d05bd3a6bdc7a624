"""Stored pages are read once, whoever waits for them, and belong to nobody who has left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache import page_loads
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_io import PageIO
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_loads import PageLoads
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected
from kvproxy.store.stored_pages import Tier

SHAPE = PageShape(2, 1, 4, torch.float32)
TOKENS = tuple(range(5 * PAGE_TOKENS))


@dataclass
class Disk:
    """A store whose page ``key`` is all ``key[0]``; reads wait for ``gate``."""

    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    bad: set[bytes] = field(default_factory=set)
    read: list[bytes] = field(default_factory=list)

    def put(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], payload: bytes, owner: str | None = None
    ) -> None:
        raise AssertionError("nothing is written")

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
    ) -> Loaded | Missing | Rejected:
        self.begun.release()
        assert self.gate.wait(30)
        self.read.append(key)
        if key in self.bad:
            return Rejected("damaged")
        return Loaded(memoryview(bytearray(key[:1] * SHAPE.bytes_of(len(token_ids)))))

    def has(self, key: bytes) -> bool:
        return True

    def tier(self, key: bytes) -> Tier | None:
        return "disk"


@dataclass(eq=False)
class Reader:
    tenant: str | None = "a"
    reserved: int = 0
    arrived: int = 0


class Loading:
    """A cache with five stored pages in its index, and its loads."""

    def __init__(self, pages: int = 8) -> None:
        self.cache = KVCache(PagePool(SHAPE, pages + 1, torch.device("cpu")), PrefixIndex(root_key("f")))
        self.disk, self.calls = Disk(), SimpleQueue[Callable[[], None]]()
        self.io = PageIO(self.disk, self.cache.pool, self.calls.put)
        self.failed: list[tuple[Reader, Exception]] = []
        self.loads = PageLoads[Reader](self.cache, self.io, lambda r, e: self.failed.append((r, e)))
        self.nodes: list[Node] = []
        for start in range(0, len(TOKENS), PAGE_TOKENS):
            parent = self.nodes[-1] if self.nodes else None
            self.nodes.append(self.cache.add_stored("public", parent, TOKENS[start : start + PAGE_TOKENS]))

    def begin(self, nodes: Sequence[Node], reader: Reader | None = None) -> Reader:
        reader = reader or Reader()
        assert self.cache.retain_and_reserve(nodes, len(nodes))
        reader.reserved = len(nodes)

        def arrived() -> None:
            reader.arrived += 1
            self.leave(reader, nodes)

        self.loads.begin(reader, nodes, arrived)
        return reader

    def leave(self, reader: Reader, nodes: Sequence[Node]) -> None:
        self.loads.forget(reader)
        self.cache.release(nodes)
        self.cache.unreserve(reader.reserved)
        reader.reserved = 0

    def take(self, results: int) -> None:
        for _ in range(results):
            self.calls.get(timeout=30)()

    def check(self) -> None:
        assert self.cache.check([self.loads.pages]) == []


@pytest.fixture
def loading() -> Loading:
    return Loading()


def test_two_who_wait_for_a_page_read_it_once(loading: Loading) -> None:
    first, second = loading.begin(loading.nodes[:3]), loading.begin(loading.nodes)
    loading.check()
    loading.disk.gate.set()
    loading.take(5)
    assert (first.arrived, second.arrived, len(loading.disk.read)) == (1, 1, 5)
    for node in loading.nodes:
        assert node.page is not None
        assert loading.cache.pool.read(node.page) == node.key[:1] * SHAPE.bytes
    assert loading.loads.pages == [] and loading.failed == []
    loading.check()
    loading.io.close()


def test_a_damaged_page_reaches_all_who_wait_and_its_page_is_free_again(loading: Loading) -> None:
    loading.disk.bad.add(loading.nodes[1].key)
    readers = [loading.begin(loading.nodes[:3]) for _ in range(2)]
    loading.disk.gate.set()
    loading.take(3)
    assert [r.arrived for r in readers] == [1, 1]
    assert loading.nodes[1].page is None and not loading.cache.index.has(loading.nodes[1])
    loading.check()
    loading.io.close()


def test_who_leaves_gives_up_what_was_not_begun_and_nothing_that_others_wait_for(loading: Loading) -> None:
    first, second = loading.begin(loading.nodes), loading.begin(loading.nodes[:1])
    assert all(loading.disk.begun.acquire(timeout=30) for _ in range(2))
    loading.leave(first, loading.nodes)
    assert len(loading.loads.pages) == 2, "two threads are reading, and cannot be stopped"
    loading.check()
    loading.disk.gate.set()
    loading.take(2)
    assert (first.arrived, second.arrived) == (0, 1)
    assert loading.loads.pages == []
    loading.check()
    loading.io.close()


def test_while_pages_must_be_evicted_few_are_asked_for_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_loads, "READ_AHEAD", 2)
    loading = Loading(pages=5)
    old = [loading.cache.take(None) for _ in range(5) if loading.cache.reserve(1)]
    for number, page in enumerate(old):
        assert loading.cache.register(
            "public", None, (*range(9_000 + number, 9_000 + number + PAGE_TOKENS),), page
        )
    loading.cache.return_pages(old)
    reader = loading.begin(loading.nodes)
    assert len(loading.loads.pages) == 2, "the others in memory are evicted between the engine's tiles"
    loading.disk.gate.set()
    for done in range(1, 6):
        loading.take(1)
        assert len(loading.loads.pages) == min(2, 5 - done)
        loading.check()
    assert reader.arrived == 1
    loading.io.close()


def test_what_fails_after_the_last_page_ends_that_reader_alone(loading: Loading) -> None:
    def broken() -> None:
        raise RuntimeError("on purpose")

    assert loading.cache.retain_and_reserve(loading.nodes[:1], 1)
    reader = Reader(reserved=1)
    loading.loads.begin(reader, loading.nodes[:1], broken)
    other = loading.begin(loading.nodes[:1])
    loading.disk.gate.set()
    loading.take(1)
    assert [r for r, _ in loading.failed] == [reader] and other.arrived == 1
    loading.io.close()
