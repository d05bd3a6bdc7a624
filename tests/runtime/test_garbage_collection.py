"""Full garbage collections come by the process's own clock, and cycles do not stay."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kvproxy.runtime import garbage_collection, off_loop
from kvproxy.runtime.garbage_collection import (
    EVERY_S,
    OVERDUE_S,
    FullCollections,
    collect_and_freeze,
    frozen,
    own_clock,
    uncollected_imports,
)
from kvproxy.wire.bodies.json_text import decode_object

MANY = b'{"x":[' + b",".join([b"[]"] * 100_000) + b"]}"


class Node:
    """A cycle of one object."""

    def __init__(self) -> None:
        self.itself = self


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def counted() -> Iterator[Counter[int]]:
    """Collections that begin within the block, by generation."""
    begun: Counter[int] = Counter()

    def count(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            begun[info["generation"]] += 1

    gc.callbacks.append(count)
    try:
        yield begun
    finally:
        gc.callbacks.remove(count)


def grow_old() -> None:
    """Have something that only a full collection looks at."""
    gc.collect(1)


@pytest.fixture
def kept() -> Iterator[None]:
    """Gives frozen objects back after the test, for the tests that follow."""
    yield
    gc.unfreeze()


async def test_no_full_collection_looks_at_a_large_body(kept: None) -> None:
    collect_and_freeze()
    gc.collect()
    with own_clock(), counted() as begun:
        body = await off_loop.off_loop(off_loop.LARGE, lambda: decode_object(MANY))
    assert len(body["x"]) == 100_000
    assert begun[2] == 0
    assert begun[1] > 5, "young cycles are still collected meanwhile"


async def test_large_work_postpones_a_full_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    collections, begun, go = FullCollections(lambda: None), threading.Event(), threading.Event()
    monkeypatch.setattr(off_loop, "FULL_COLLECTIONS", collections)

    def work() -> None:
        begun.set()
        assert go.wait(20)

    large = [off_loop.off_loop(size, work) for size in (off_loop.LARGE, off_loop.SMALL)]
    tasks = [asyncio.ensure_future(one) for one in large]
    assert await asyncio.to_thread(begun.wait, 20)
    grow_old()
    assert not collections.collect_if_idle()
    go.set()
    await asyncio.gather(*tasks)
    grow_old()
    assert not collections.collect_if_idle(), "what such work made is still there"
    assert collections.collect_if_idle()


def test_a_full_collection_waits_a_minute_at_most() -> None:
    clock = Clock()
    runs: list[float] = []
    collections = FullCollections(lambda: runs.append(clock.now), clock)
    with collections.postponed(), collections.postponed():
        for _ in range(3 * int(OVERDUE_S / EVERY_S)):
            clock.now += EVERY_S
            grow_old()
            collections.collect_if_idle()
    assert runs == [OVERDUE_S, 2 * OVERDUE_S, 3 * OVERDUE_S]


def test_no_full_collection_without_old_objects() -> None:
    gc.collect()
    with counted() as begun:
        assert FullCollections().collect_if_idle()
    assert not begun[2]


async def test_cycles_go_while_the_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage_collection, "EVERY_S", 0.001)
    before = gc.get_threshold()
    task = asyncio.ensure_future(FullCollections().run())
    await asyncio.sleep(0)
    assert gc.get_threshold()[:2] == before[:2] and gc.get_threshold()[2] > before[2]
    node = Node()
    gone = weakref.ref(node)
    grow_old()
    del node
    while gone() is not None:
        grow_old()
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    assert gc.get_threshold() == before


def test_python_collects_by_itself_where_the_clock_never_comes(
    monkeypatch: pytest.MonkeyPatch, kept: None
) -> None:
    monkeypatch.setattr(garbage_collection, "PYTHONS_OWN", 3)
    gc.freeze()
    gc.collect()
    living: list[Node] = []
    with own_clock(), counted() as begun:
        while not begun[2] and len(living) < 100_000:
            living.append(Node())
    assert begun[2]


def test_what_is_frozen_thaws_at_the_blocks_end() -> None:
    before = gc.get_freeze_count()
    with frozen():
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_imports_run_without_the_collector_and_leave_it_as_it_was(enabled: bool) -> None:
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ImportError), uncollected_imports():
            assert not gc.isenabled()
            raise ImportError("no such module")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
