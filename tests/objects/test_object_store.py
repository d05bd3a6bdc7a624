"""An object store's calls: what they do when all is well, and how they end when it is not."""

from __future__ import annotations

import threading
import time

import pytest

from kvproxy.errors import SetupError
from kvproxy.objects.circuit_breaker import FAILURES
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_results import (
    ObjectAbsent,
    ObjectFound,
    ObjectsUnavailable,
    ObjectTooLarge,
    SwapConflict,
    Swapped,
)
from kvproxy.objects.object_store import ObjectStore
from tests.objects.conftest import s3_address
from tests.objects.fault_proxy import FaultProxy

MOST = 2**20


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "file":
        return ObjectStore(request.getfixturevalue("folder_address"))
    server = request.getfixturevalue("s3_server")
    return ObjectStore(s3_address(server, request.getfixturevalue("bucket")))


def data(store: ObjectStore, name: str) -> bytes:
    found = store.read(name, MOST)
    assert isinstance(found, ObjectFound)
    return bytes(found.data)


def test_an_object_is_created_once(store: ObjectStore) -> None:
    assert isinstance(store.read("a/b", MOST), ObjectAbsent)
    assert store.create("a/b", b"one")
    assert not store.create("a/b", b"two")
    assert data(store, "a/b") == b"one"
    store.replace("a/b", memoryview(b"three"))
    assert data(store, "a/b") == b"three"
    assert store.read_front("a/b", 2) == b"th"
    assert store.read_front("a/b", 2**16) == b"three"
    assert store.read_front("a/none", 2) is None


def test_an_object_that_is_too_large_is_not_read(store: ObjectStore) -> None:
    store.create("a/large", bytes(1000))
    received = store.counts.bytes_received
    assert store.read("a/large", 999) == ObjectTooLarge(1000)
    assert store.counts.bytes_received == received


def test_names_below_a_prefix(store: ObjectStore) -> None:
    for name in ("pages/f1/aa/1", "pages/f1/bb/2", "pages/f2/aa/1"):
        store.create(name, b"x")
    assert sorted(store.names("pages/f1/")) == ["pages/f1/aa/1", "pages/f1/bb/2"]
    assert list(store.names("pages/f3/")) == []


def test_deletes_what_is_there_and_passes_over_the_rest(store: ObjectStore) -> None:
    for name in ("a/1", "a/2", "a/3"):
        store.create(name, b"x")
    store.delete(["a/1", "a/none", "a/3"])
    assert list(store.names("a/")) == ["a/2"]
    store.delete([])
    store.delete(["a/none"])


def test_a_swap_needs_the_state_that_it_expects(store: ObjectStore) -> None:
    first = store.swap("current.json", b"1", None)
    assert isinstance(first, Swapped)
    assert store.swap("current.json", b"other", None) == SwapConflict()
    second = store.swap("current.json", b"2", first.etag)
    assert isinstance(second, Swapped)
    assert store.swap("current.json", b"3", first.etag) == SwapConflict()
    assert store.swap("none.json", b"3", first.etag) == SwapConflict()
    assert data(store, "current.json") == b"2"


def test_of_many_swaps_at_once_one_wins(store: ObjectStore) -> None:
    first = store.swap("current.json", b"0", None)
    assert isinstance(first, Swapped)
    etag, won = first.etag, []

    def swap(i: int) -> None:
        if isinstance(store.swap("current.json", f"{i}!".encode(), etag), Swapped):
            won.append(i)

    threads = [threading.Thread(target=swap, args=(i,)) for i in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # moto's own comparison is no atomic one: several may win there, and in a folder exactly one does.
    assert len(won) == 1 if store.address.url.startswith("file") else won
    assert data(store, "current.json") in [f"{i}!".encode() for i in won]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (ObjectAddress("ftp://x/y"), "store.objects.url begins with 'ftp://'"),
        (ObjectAddress("s3://bucket", {"no_such_option": "1"}), "store.objects cannot be opened"),
        (ObjectAddress("file:///proc/none/such"), "store.objects cannot be opened"),
    ],
)
def test_a_wrong_address_is_named(address: ObjectAddress, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        ObjectStore(address)


def test_an_error_is_tried_again_and_then_told(faulty: FaultProxy, bucket: str) -> None:
    store = ObjectStore(s3_address(faulty.url, bucket))
    store.create("a", b"1")
    faulty.fault, before = "error", faulty.requests
    with pytest.raises(ObjectsUnavailable, match="failed") as raised:
        store.read("a", MOST)
    assert faulty.requests - before == store.address.attempts
    assert bucket not in raised.value.message and bucket in raised.value.detail
    faulty.fault = "none"
    assert data(store, "a") == b"1"


@pytest.mark.parametrize("fault", ["truncate", "refuse"])
def test_a_body_that_breaks_off_is_a_failure(faulty: FaultProxy, bucket: str, fault: str) -> None:
    store = ObjectStore(s3_address(faulty.url, bucket))
    store.create("a", bytes(200_000))
    faulty.fault = fault  # type: ignore[assignment]  # one of its words
    with pytest.raises(ObjectsUnavailable):
        store.read("a", MOST)
    assert store.counts.failures == store.address.attempts


def test_a_stalled_store_is_given_up_in_time_then_left_alone_and_tried_again(
    faulty: FaultProxy, bucket: str
) -> None:
    store = ObjectStore(s3_address(faulty.url, bucket, timeout_s=0.3, attempts=1))
    faulty.fault = "stall"
    began = time.monotonic()
    for _ in range(FAILURES):
        with pytest.raises(ObjectsUnavailable, match="failed"):
            store.read("a", MOST)
    assert time.monotonic() - began < 30
    asked = faulty.requests
    with pytest.raises(ObjectsUnavailable, match="left alone") as raised:
        store.read("a", MOST)
    assert raised.value.retry_after_s is not None and raised.value.retry_after_s >= 1
    assert (faulty.requests, store.breaker.open) == (asked, True)
    faulty.fault = "none"
    deadline = time.monotonic() + 60
    while True:
        try:
            assert isinstance(store.read("a", MOST), ObjectAbsent)
            break
        except ObjectsUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert not store.breaker.open


def test_no_more_requests_run_at_once_than_may(faulty: FaultProxy, bucket: str) -> None:
    store = ObjectStore(s3_address(faulty.url, bucket, most_at_once=2))
    threads = [threading.Thread(target=store.create, args=(f"a/{i}", bytes(1000))) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(store.names("a/"))) == 12
    assert faulty.most_at_once <= 2


def test_who_may_read_and_not_write_goes_on_reading(faulty: FaultProxy, bucket: str) -> None:
    store = ObjectStore(s3_address(faulty.url, bucket))
    store.create("a", b"1")
    faulty.fault = "forbid"
    before = faulty.requests
    for _ in range(FAILURES + 1):
        with pytest.raises(ObjectsUnavailable, match="refuses"):
            store.create("b", b"1")
    assert faulty.requests - before == FAILURES + 1, "a refusal is not tried again"
    assert data(store, "a") == b"1"
