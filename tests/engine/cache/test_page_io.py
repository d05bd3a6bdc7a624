from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from kvproxy.core import PUBLIC
from kvproxy.engine.cache.page_io import READ_AHEAD, PageIO, PageRead, PageWritten
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.store.page_file import Buffer
from kvproxy.store.page_results import Loaded, Missing, Rejected


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
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | None = None
    ) -> Loaded | Missing | Rejected:
        assert self.go.wait(60)
        if self.error is not None:
            raise self.error
        return Missing()

    def has(self, key: bytes) -> bool:
        return True


def node() -> Node:
    return Node("a", b"k" * 32, b"p" * 32, None, 0, (1, 2, 3))


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_results_are_handed_over_and_never_run_on_an_io_thread() -> None:
    store, calls, read, written = Slow(), list[Callable[[], None]](), list[PageRead](), list[PageWritten]()
    io = PageIO(store, calls.append)
    page = node()
    store.go.set()
    io.read(page, read.append)
    io.write(page, b"x", written.append)
    wait_until(lambda: len(calls) == 2)
    io.close()
    assert (read, written) == ([], [])
    for call in calls:
        call()
    assert read == [PageRead(page, Missing())] and written == [PageWritten(page, None)]


def test_errors_are_results() -> None:
    store, calls, read, written = Slow(), list[Callable[[], None]](), list[PageRead](), list[PageWritten]()
    store.error = OSError("no such luck")
    io = PageIO(store, calls.append)
    store.go.set()
    io.read(node(), read.append)
    io.write(node(), b"x", written.append)
    wait_until(lambda: len(calls) == 2)
    io.close()
    for call in calls:
        call()
    assert isinstance(read[0].result, Rejected) and "no such luck" in read[0].result.reason
    assert written[0].error is store.error


def test_closing_drops_what_has_not_begun_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store, calls = Slow(), list[Callable[[], None]]()
    io = PageIO(store, calls.append)
    for _ in range(6):
        io.read(node(), lambda r: None)
        io.write(node(), b"x", lambda w: None)
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
        io = PageIO(store, lambda call: None)
        for _ in range(60):
            io.read(node(), lambda r: None)
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
            self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | None = None
        ) -> Loaded | Missing | Rejected:
            asked.append(key)
            return Missing()

    io = PageIO(Asked(), lambda call: None)
    for scope in (PUBLIC, "tenant:a/documents", "tenant:b/documents"):
        page = replace(node(), scope=scope)
        io.has(page)
        io.write(page, b"x", lambda _: None)
        io.read(page, lambda _: None)
    wait_until(lambda: len(asked) == 9)
    io.close()
    assert len(asked) == 9 and asked.count(node().key) == 3 and len(set(asked)) == 3


def test_without_a_store_nothing_is_stored() -> None:
    io = PageIO(None, lambda call: None)
    assert not io.has_store and not io.has(node())
    io.close()


def test_no_more_is_read_than_there_are_buffers_until_the_first_is_taken() -> None:
    buffers = list[int]()

    class Filling(Slow):
        def get(
            self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | None = None
        ) -> Loaded | Missing | Rejected:
            assert isinstance(into, bytearray) and len(into) == 9
            buffers.append(id(into))
            return Loaded(memoryview(into))

    store, calls = Filling(), list[Callable[[], None]]()
    io = PageIO(store, calls.append, None, 9)
    read = list[PageRead]()
    for _ in range(READ_AHEAD + 3):
        io.read(node(), read.append)
    wait_until(lambda: len(calls) == READ_AHEAD)
    time.sleep(0.02)
    assert len(calls) == READ_AHEAD
    for number in range(READ_AHEAD + 3):
        wait_until(lambda: bool(calls))
        calls.pop(0)()
        assert len(read) == number + 1
    assert len(buffers) == READ_AHEAD + 3 and len(set(buffers)) == READ_AHEAD
    io.close()


def test_one_tenants_reads_do_not_wait_behind_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "kvproxy.engine.cache.page_io._THREADS", 1
    )  # for an order that is told by the results
    store, calls, order = Slow(), list[Callable[[], None]](), list[str]()
    io = PageIO(store, calls.append)
    for _ in range(30):
        io.read(node(), lambda read: order.append("a"), "a")
    for _ in range(3):
        io.read(node(), lambda read: order.append("b"), "b")
    store.go.set()
    while len(order) < 33:
        wait_until(lambda: bool(calls))
        calls.pop(0)()
    io.close()
    # One of a's had begun when b's came; the next one may have been its turn.
    assert "".join(order).rindex("b") <= 6
