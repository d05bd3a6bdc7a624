from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from kvproxy.core import PUBLIC, stored_key
from kvproxy.engine.cache.page_io import PageIO, PageRead, PageWritten
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected
from kvproxy.store.stored_pages import Tier


class Slow:
    """A store that answers once ``go`` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.error: Exception | None = None

    def put(
        self,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        payload: bytes,
        owner: str | None = None,
    ) -> None:
        assert self.go.wait(60)
        if self.error is not None:
            raise self.error

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
    ) -> Loaded | Missing | Rejected:
        assert self.go.wait(60)
        if self.error is not None:
            raise self.error
        return Missing()

    def has(self, key: bytes) -> bool:
        return True

    def tier(self, key: bytes) -> Tier | None:
        return "disk"


def pool() -> PagePool:
    return PagePool(PageShape(3, 1, 4, torch.float32), 3, torch.device("cpu"))


def node() -> Node:
    return Node("a", b"k" * 32, b"p" * 32, None, 0, (1, 2, 3))


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_results_are_handed_over_and_never_run_on_an_io_thread() -> None:
    store, calls, read, written = Slow(), list[Callable[[], None]](), list[PageRead](), list[PageWritten]()
    io = PageIO(store, pool(), calls.append)
    page = node()
    store.go.set()
    io.read(page, 1, read.append)
    io.write(page, 1, written.append)
    wait_until(lambda: len(calls) == 2)
    io.close()
    assert (read, written) == ([], [])
    for call in calls:
        call()
    assert read == [PageRead(page, Missing())] and written == [PageWritten(page, 1, None)]


def test_errors_are_results() -> None:
    store, calls, read, written = Slow(), list[Callable[[], None]](), list[PageRead](), list[PageWritten]()
    store.error = OSError("no such luck")
    io = PageIO(store, pool(), calls.append)
    store.go.set()
    io.read(node(), 1, read.append)
    io.write(node(), 1, written.append)
    wait_until(lambda: len(calls) == 2)
    io.close()
    for call in calls:
        call()
    assert isinstance(read[0].result, Rejected) and "no such luck" in read[0].result.reason
    assert written[0].error is store.error


def test_a_stalled_object_store_does_not_hold_up_pages_on_disk() -> None:
    class Tiers(Slow):
        def tier(self, key: bytes) -> Tier | None:
            return "objects" if key == stored_key(far.key, far.scope) else "disk"

        def get(
            self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
        ) -> Loaded | Missing | Rejected:
            return super().get(key, parent, token_ids, into) if self.tier(key) == "objects" else Missing()

    far, calls, read = replace(node(), key=b"f" * 32), list[Callable[[], None]](), list[PageRead]()
    store = Tiers()
    io = PageIO(store, pool(), calls.append)
    for _ in range(8):
        io.read(far, 1, read.append)
    io.read(node(), 1, read.append)
    wait_until(lambda: len(calls) == 1)
    store.go.set()
    wait_until(lambda: len(calls) == 9)
    io.close()
    for call in calls:
        call()
    assert [r.far for r in read] == [False] + [True] * 8


def test_closing_drops_what_has_not_begun_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store, calls = Slow(), list[Callable[[], None]]()
    io = PageIO(store, pool(), calls.append)
    for _ in range(6):
        io.read(node(), 1, lambda r: None)
        io.write(node(), 1, lambda w: None)
    closer = threading.Thread(target=io.close)
    with caplog.at_level(logging.DEBUG):
        closer.start()
        time.sleep(0.05)
        store.go.set()
        closer.join(10)
    assert not closer.is_alive()
    assert len(calls) < 12
    assert caplog.records == []


def test_closing_ends_however_many_reads_nobody_takes() -> None:
    for _ in range(20):
        store = Slow()
        store.go.set()
        io = PageIO(store, pool(), lambda call: None)
        for _ in range(60):
            io.read(node(), 1, lambda r: None)
        closer = threading.Thread(target=io.close, daemon=True)
        closer.start()
        closer.join(10)
        assert not closer.is_alive()


def test_pages_of_two_scopes_are_two_pages_in_the_store() -> None:
    asked: list[bytes] = []

    class Asked(Slow):
        def has(self, key: bytes) -> bool:
            asked.append(key)
            return True

        def put(
            self,
            key: bytes,
            parent: bytes,
            token_ids: Sequence[int],
            payload: bytes,
            owner: str | None = None,
        ) -> None:
            asked.append(key)

        def get(
            self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
        ) -> Loaded | Missing | Rejected:
            asked.append(key)
            return Missing()

    io = PageIO(Asked(), pool(), lambda call: None)
    for scope in (PUBLIC, "tenant:a/documents", "tenant:b/documents"):
        page = replace(node(), scope=scope)
        io.has(page)
        io.write(page, 1, lambda _: None)
        io.read(page, 1, lambda _: None)
    wait_until(lambda: len(asked) == 9)
    io.close()
    assert len(asked) == 9 and asked.count(node().key) == 3 and len(set(asked)) == 3


def test_without_a_store_nothing_is_stored() -> None:
    io = PageIO(None, pool(), lambda call: None)
    assert not io.has_store and not io.has(node())
    io.close()


def test_layers_are_written_to_the_page_as_they_come_and_a_payload_as_a_whole() -> None:
    pages = pool()
    numbers = torch.arange(3 * 2 * 1 * 3 * 4, dtype=torch.float32).view(3, 2, 1, 3, 4).contiguous()
    payload = numbers.view(torch.uint8).numpy().tobytes()

    class Layers(Slow):
        def get(
            self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
        ) -> Loaded | Missing | Rejected:
            assert not isinstance(into, bytes | bytearray | memoryview) and into is not None
            if parent == b"whole":
                return Loaded(memoryview(bytearray(payload)))
            for layer in range(3):
                size = len(payload) // 3
                into.room(layer, size)[:] = payload[layer * size : (layer + 1) * size]
                into.filled(layer)
            return Loaded(memoryview(b""))

    calls, read = list[Callable[[], None]](), list[PageRead]()
    io = PageIO(Layers(), pages, calls.append)
    io.read(node(), 1, read.append)
    io.read(replace(node(), parent_key=b"whole"), 2, read.append)
    wait_until(lambda: len(calls) == 2)
    io.close()
    for call in calls:
        call()
    assert all(isinstance(r.result, Loaded) for r in read)
    assert pages.read(1, 3) == payload and pages.read(2, 3) == payload


@pytest.mark.parametrize("layer", [0, 3])
def test_a_layer_of_another_size_or_number_is_refused_and_nothing_is_written(layer: int) -> None:
    pages = pool()

    class Odd(Slow):
        def get(
            self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
        ) -> Loaded | Missing | Rejected:
            assert not isinstance(into, bytes | bytearray | memoryview) and into is not None
            into.room(layer, 96 if layer else 100)[:] = b"x" * 100
            return Loaded(memoryview(b""))

    calls, read = list[Callable[[], None]](), list[PageRead]()
    io = PageIO(Odd(), pages, calls.append)
    io.read(node(), 1, read.append)
    wait_until(lambda: bool(calls))
    io.close()
    calls.pop()()
    assert isinstance(read[0].result, Rejected) and "a page here has 96" in read[0].result.reason
    assert not pages.kv.any()


def test_one_tenants_reads_do_not_wait_behind_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "kvproxy.engine.cache.page_io._THREADS", 1
    )  # for an order that is told by the results
    store, calls, order = Slow(), list[Callable[[], None]](), list[str]()
    io = PageIO(store, pool(), calls.append)
    for _ in range(30):
        io.read(node(), 1, lambda read: order.append("a"), "a")
    for _ in range(3):
        io.read(node(), 1, lambda read: order.append("b"), "b")
    store.go.set()
    while len(order) < 33:
        wait_until(lambda: bool(calls))
        calls.pop(0)()
    io.close()
    # One of a's had begun when b's came; the next one may have been its turn.
    assert "".join(order).rindex("b") <= 6
