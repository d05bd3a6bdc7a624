"""Uploads behind local files: each page once, the latest wish counts, nothing is lost while the store is away."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.core.page_form import PageForm
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_store import ObjectStore
from kvproxy.store.page_store import PageStore
from kvproxy.tiers.pending_deletes import PendingDeletes
from kvproxy.tiers.write_behind import MOST_FETCHED, WriteBehind
from tests.objects.conftest import s3_address
from tests.objects.fault_proxy import FaultProxy

FORM = PageForm(layers=2, kv_heads=1, head_dim=8, dtype="float32")
KEYS = [hashlib.sha256(bytes([i])).digest() for i in range(20)]
IDS = tuple(range(256))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[PageStore]:
    with PageStore(tmp_path / "store", max_size=2**30, fingerprint="f1", form=FORM) as local:
        yield local
        assert local.check() == []


def behind(local: PageStore, address: ObjectAddress, folder: Path) -> WriteBehind:
    return WriteBehind(local, ObjectPages(ObjectStore(address), "f1"), PendingDeletes(folder / "deletes"))


def fill(local: PageStore, *numbers: int) -> None:
    for i in numbers:
        local.put(KEYS[i], KEYS[-1], IDS, os.urandom(FORM.payload_bytes(256)))


def names(address: ObjectAddress) -> set[str]:
    return {name.rpartition("/")[2].removesuffix(".page") for name in ObjectStore(address).names("pages/f1/")}


def test_pages_are_written_once_and_byte_for_byte(
    local: PageStore, folder_address: ObjectAddress, tmp_path: Path
) -> None:
    writer = behind(local, folder_address, tmp_path)
    fill(local, *range(20))
    for key in KEYS * 3:
        writer.store(key)
    assert writer.settle(60) and writer.backlog == 0
    writer.close()
    assert names(folder_address) == {key.hex() for key in KEYS}
    assert 20 <= writer.written <= 60 and writer.passed_over == 0
    for key in KEYS:
        assert writer._objects.fetch(key) == local.read_file(key)


def test_the_latest_wish_for_a_page_counts(
    local: PageStore, faulty: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    address = s3_address(faulty.url, bucket, attempts=1)
    writer = behind(local, address, tmp_path)
    fill(local, 0, 1)
    faulty.fault = "error"
    writer.store(KEYS[0])
    writer.delete([KEYS[0], KEYS[1]])
    writer.store(KEYS[1])
    faulty.fault = "none"
    assert writer.settle(60)
    writer.close()
    assert names(address) == {KEYS[1].hex()}


def test_many_pages_are_deleted_with_few_requests(
    local: PageStore, faulty: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    address = s3_address(faulty.url, bucket)
    writer = behind(local, address, tmp_path)
    fill(local, *range(20))
    for key in KEYS:
        writer.store(key)
    assert writer.settle(60)
    before = faulty.requests
    writer.delete(KEYS)
    assert writer.settle(60)
    writer.close()
    assert faulty.requests - before <= 3
    assert names(address) == set()
    assert PendingDeletes(tmp_path / "deletes").keys == ()


def test_an_outage_is_logged_once_and_its_end_too(
    local: PageStore, faulty: FaultProxy, bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kvproxy.tiers.write_behind")
    writer = behind(local, s3_address(faulty.url, bucket, attempts=1), tmp_path)
    fill(local, 0)
    faulty.fault = "error"
    writer.store(KEYS[0])
    deadline = time.monotonic() + 60
    while faulty.requests < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    faulty.fault = "none"
    assert writer.settle(60)
    writer.close()
    told = [r.getMessage() for r in caplog.records if r.name == "kvproxy.tiers.write_behind"]
    assert len(told) == 2 and "pages wait" in told[0] and "takes pages again" in told[1]


def test_a_page_that_left_its_file_is_passed_over(
    local: PageStore, folder_address: ObjectAddress, tmp_path: Path
) -> None:
    writer = behind(local, folder_address, tmp_path)
    writer.store(KEYS[0])
    assert writer.settle(60)
    writer.close()
    assert (writer.passed_over, names(folder_address)) == (1, set())


def test_a_page_of_another_engine_is_passed_over(folder_address: ObjectAddress, tmp_path: Path) -> None:
    with PageStore(tmp_path / "store", max_size=2**30, fingerprint="f0", form=FORM) as old:
        fill(old, 0)
    with PageStore(tmp_path / "store", max_size=2**30, fingerprint="f1", form=FORM) as local:
        writer = behind(local, folder_address, tmp_path)
        assert writer.resume() == 1
        assert writer.settle(60)
        writer.close()
    assert (writer.passed_over, names(folder_address)) == (1, set())


def test_fetched_pages_wait_in_bounded_memory(
    local: PageStore, faulty: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    faulty.fault = "stall"
    writer = behind(local, s3_address(faulty.url, bucket, 3.0, attempts=1), tmp_path)
    fill(local, 0, 1)
    for i in (0, 1):
        writer.store(KEYS[i])
    deadline = time.monotonic() + 60
    while faulty.at_once < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for i in range(2, 20):
        writer.keep(KEYS[i], b"page")
    assert len(writer._fetched) == MOST_FETCHED
    faulty.fault = "none"
    writer.close()


def test_a_fetched_page_that_was_deleted_meanwhile_is_not_kept(
    local: PageStore, folder_address: ObjectAddress, tmp_path: Path, faulty: FaultProxy, bucket: str
) -> None:
    fill(local, 0)
    content = local.read_file(KEYS[0])
    assert content is not None
    local.delete([KEYS[0]])
    faulty.fault = "error"
    writer = behind(local, s3_address(faulty.url, bucket, attempts=1), tmp_path)
    writer.delete([KEYS[0]])
    writer.keep(KEYS[0], content)
    writer.keep(KEYS[1], content)
    deadline = time.monotonic() + 60
    while writer._fetched:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    faulty.fault = "none"
    assert writer.settle(60)
    writer.close()
    assert not local.has(KEYS[0]) and not local.has(KEYS[1]), "nor one under another page's key"
