"""Pages in two tiers: where they are written and found, and what a bad store can do: lose a page, or take time."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kvproxy.core.page_form import PageForm
from kvproxy.errors import Unavailable
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_store import ObjectStore
from kvproxy.sealing.page_cipher import PageCipher
from kvproxy.store.disk import page_name
from kvproxy.store.page_results import Loaded, Missing, Rejected
from kvproxy.store.page_store import PageStore
from kvproxy.tiers.pending_deletes import FILE, PendingDeletes
from kvproxy.tiers.tiered_pages import Acknowledge, TieredPages
from tests.objects.conftest import s3_address
from tests.objects.fault_proxy import Fault, FaultProxy

FORM = PageForm(layers=2, kv_heads=1, head_dim=8, dtype="float32")
PARENT = hashlib.sha256(b"parent").digest()
KEYS = [hashlib.sha256(bytes([i])).digest() for i in range(8)]
IDS = [tuple(range(1000 * i, 1000 * i + 256)) for i in range(8)]
PAYLOADS = [os.urandom(FORM.payload_bytes(256)) for _ in range(8)]
KEY = bytes(range(32))


@contextmanager
def opened(
    folder: Path,
    address: ObjectAddress,
    *,
    acknowledge: Acknowledge = "local",
    max_size: int = 2**30,
    seal: PageCipher | None = None,
    listed: bool = True,
    check: bool = True,
) -> Iterator[TieredPages]:
    with PageStore(folder / "store", max_size=max_size, fingerprint="f1", form=FORM, seal=seal) as local:
        deletes = PendingDeletes(folder / "store" / FILE)
        pages = TieredPages(local, ObjectPages(ObjectStore(address), "f1"), deletes, acknowledge=acknowledge)
        try:
            assert pages.wait_for_names(30) == listed
            yield pages
        finally:
            pages.close()
        if check:
            assert local.check() == []


def put(pages: TieredPages, *numbers: int) -> None:
    for i in numbers:
        pages.put(KEYS[i], PARENT, IDS[i], PAYLOADS[i], "tenant:a")


def get(pages: TieredPages, i: int) -> bytes | Missing | Rejected:
    found = pages.get(KEYS[i], PARENT, IDS[i])
    return bytes(found.payload) if isinstance(found, Loaded) else found


def settle(pages: TieredPages) -> None:
    assert pages.behind.settle(60)


def test_a_page_is_written_to_both_and_found_by_another_proxy(
    tmp_path: Path, folder_address: ObjectAddress
) -> None:
    with opened(tmp_path / "one", folder_address) as one:
        put(one, 0, 1)
        settle(one)
        assert (one.tier(KEYS[0]), one.behind.written, one.behind.backlog) == ("disk", 2, 0)
        content = one.local.read_file(KEYS[0])
    with opened(tmp_path / "two", folder_address) as two:
        assert [two.tier(key) for key in KEYS[:3]] == ["objects", "objects", None]
        assert two.has(KEYS[0]) and not two.has(KEYS[2])
        digest = two.digest(KEYS[0])
        assert digest is not None
        assert get(two, 0) == PAYLOADS[0]
        settle(two)
        assert (two.tier(KEYS[0]), two.local.read_file(KEYS[0])) == ("disk", content)
        assert two.local.digest(KEYS[0]) == digest
        assert get(two, 0) == PAYLOADS[0]
        assert (two.local.loaded, two.counts.objects) == (1, 1)
        assert get(two, 2) == Missing()


def test_a_page_with_other_tokens_is_not_given_out(tmp_path: Path, folder_address: ObjectAddress) -> None:
    with opened(tmp_path / "one", folder_address) as one:
        put(one, 0)
        settle(one)
    with opened(tmp_path / "two", folder_address) as two:
        assert isinstance(two.get(KEYS[0], PARENT, IDS[1]), Rejected)
        assert isinstance(two.get(KEYS[0], KEYS[1], IDS[0]), Rejected)
        assert get(two, 0) == PAYLOADS[0], "the question was wrong, not the page"


def test_what_was_not_written_yet_is_written_by_the_next_process(
    tmp_path: Path, folder_address: ObjectAddress, faulty: FaultProxy, bucket: str
) -> None:
    faulty.fault = "error"
    address = s3_address(faulty.url, bucket, attempts=1)
    with opened(tmp_path / "one", address, listed=False) as one:
        put(one, 0, 1, 2)
        assert get(one, 0) == PAYLOADS[0]
        assert one.behind.backlog == 3
    faulty.fault = "none"
    with opened(tmp_path / "one", address) as one:
        settle(one)
        assert sorted(one.objects.keys()) == sorted(KEYS[:3])


def test_it_goes_on_by_itself_when_the_store_is_back(tmp_path: Path, faulty: FaultProxy, bucket: str) -> None:
    with opened(tmp_path / "one", s3_address(faulty.url, bucket, attempts=1)) as one:
        faulty.fault = "error"
        put(one, 0, 1)
        deadline = time.monotonic() + 60
        while one.objects.store.counts.failures < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        faulty.fault = "none"
        settle(one)
        assert one.behind.written == 2


def test_acknowledged_by_the_object_store_means_that_it_has_the_page(
    tmp_path: Path, faulty: FaultProxy, bucket: str
) -> None:
    with opened(tmp_path, s3_address(faulty.url, bucket, attempts=1), acknowledge="objects") as pages:
        put(pages, 0)
        assert pages.objects.has(KEYS[0])
        faulty.fault = "error"
        with pytest.raises(Unavailable, match="object store"):
            put(pages, 1)
        assert get(pages, 1) == PAYLOADS[1], "the local file stays"
        faulty.fault = "none"
        put(pages, 1)
        assert pages.objects.has(KEYS[1])


@pytest.mark.parametrize("fault", ["error", "truncate", "shorten", "refuse"])
def test_a_bad_object_store_loses_a_page_and_never_changes_one(
    tmp_path: Path, faulty: FaultProxy, bucket: str, fault: Fault
) -> None:
    address = s3_address(faulty.url, bucket, attempts=2)
    with opened(tmp_path / "one", address) as one:
        put(one, 0)
        settle(one)
    with opened(tmp_path / "two", address) as two:
        faulty.fault = fault
        assert isinstance(get(two, 0), Rejected)
        assert (two.counts.rejected, two.counts.objects) == (1, 0)
        faulty.fault = "none"
        assert get(two, 0) == PAYLOADS[0]


def test_a_stalled_object_store_holds_up_nobody_else(tmp_path: Path, faulty: FaultProxy, bucket: str) -> None:
    with opened(tmp_path / "one", s3_address(faulty.url, bucket)) as one:
        put(one, 0)
        settle(one)
    with opened(tmp_path / "two", s3_address(faulty.url, bucket, 2.0, attempts=1)) as two:
        faulty.fault = "stall"
        stalled: list[object] = []
        reader = threading.Thread(target=lambda: stalled.append(get(two, 0)))
        reader.start()
        put(two, 1)
        assert get(two, 1) == PAYLOADS[1]
        assert (two.has(KEYS[0]), two.has(KEYS[1]), two.tier(KEYS[0])) == (True, True, "objects")
        assert stalled == [], "all of that took less time than the stalled request"
        reader.join(60)
        assert isinstance(stalled[0], Rejected)


@pytest.mark.parametrize("place", [0, 60, 5000, -1])
def test_a_flipped_byte_is_found_and_the_page_mended(
    tmp_path: Path, folder_address: ObjectAddress, place: int
) -> None:
    with opened(tmp_path / "one", folder_address) as one:
        put(one, 0)
        settle(one)
    (path,) = (tmp_path / "objects").rglob("*.page")
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(damaged)
    with opened(tmp_path / "two", folder_address) as two:
        assert isinstance(get(two, 0), Rejected)
        assert two.tier(KEYS[0]) is None
        put(two, 0)
        settle(two)
        assert two.tier(KEYS[0]) == "disk"
    with opened(tmp_path / "three", folder_address) as three:
        assert get(three, 0) == PAYLOADS[0]


def test_a_damaged_local_file_is_mended_from_the_object_store(
    tmp_path: Path, folder_address: ObjectAddress
) -> None:
    with opened(tmp_path / "one", folder_address) as one:
        put(one, 0)
        settle(one)
        path = tmp_path / "one" / "store" / "pages" / page_name(KEYS[0])
        damaged = bytearray(path.read_bytes())
        damaged[-1] ^= 1
        path.write_bytes(damaged)
        assert get(one, 0) == PAYLOADS[0]
        settle(one)
        assert path.read_bytes() != damaged and get(one, 0) == PAYLOADS[0]


def test_a_fetched_page_is_kept_only_where_nothing_must_go_for_it(
    tmp_path: Path, folder_address: ObjectAddress
) -> None:
    with opened(tmp_path / "one", folder_address) as one:
        put(one, 0, 1)
        settle(one)
        size = one.local.usage().bytes // 2
    with opened(tmp_path / "two", folder_address, max_size=size + size // 2) as two:
        put(two, 2)
        assert get(two, 0) == PAYLOADS[0]
        settle(two)
        assert [two.tier(key) for key in KEYS[:3]] == ["objects", "objects", "disk"]


def test_a_page_that_made_room_locally_is_still_in_the_object_store(
    tmp_path: Path, folder_address: ObjectAddress
) -> None:
    with opened(tmp_path, folder_address) as pages:
        put(pages, 0)
        settle(pages)
        pages.local.delete([KEYS[0]])
        assert pages.tier(KEYS[0]) == "objects"
        assert get(pages, 0) == PAYLOADS[0]


def test_a_delete_reaches_both_tiers(tmp_path: Path, folder_address: ObjectAddress) -> None:
    with opened(tmp_path, folder_address) as pages:
        put(pages, 0, 1)
        settle(pages)
        assert pages.delete([KEYS[0], KEYS[2]]) == 1
        assert not pages.has(KEYS[0]) and get(pages, 0) == Missing()
        settle(pages)
        assert pages.objects.keys() == frozenset([KEYS[1]])
        assert not (tmp_path / "store" / FILE).exists()


def test_a_delete_outlives_a_kill(tmp_path: Path, faulty: FaultProxy, bucket: str) -> None:
    address = s3_address(faulty.url, bucket, attempts=1)
    with opened(tmp_path, address) as pages:
        put(pages, 0, 1)
        settle(pages)
        faulty.fault = "error"
        pages.delete([KEYS[0]])
        assert not pages.has(KEYS[0]), "at once, wherever the object is"
    faulty.fault = "none"
    with opened(tmp_path, address) as pages:
        settle(pages)
        assert pages.objects.keys() == frozenset([KEYS[1]])


def test_a_page_that_is_published_again_is_not_deleted_late(
    tmp_path: Path, faulty: FaultProxy, bucket: str
) -> None:
    address = s3_address(faulty.url, bucket, attempts=1)
    with opened(tmp_path, address) as pages:
        put(pages, 0)
        settle(pages)
        faulty.fault = "error"
        pages.delete([KEYS[0]])
        put(pages, 0)
        faulty.fault = "none"
        settle(pages)
        assert pages.tier(KEYS[0]) == "disk"
    with opened(tmp_path, address) as pages:
        settle(pages)
        assert pages.objects.keys() == frozenset([KEYS[0]])


def test_collect_deletes_what_a_kill_left_and_nothing_of_other_proxies(
    tmp_path: Path, folder_address: ObjectAddress
) -> None:
    with opened(tmp_path / "other", folder_address) as other:
        put(other, 3)
        settle(other)
    with opened(tmp_path / "one", folder_address) as one:
        put(one, 0, 1)
        settle(one)
        assert one.collect({KEYS[0]}) == 1
        settle(one)
        assert one.objects.keys() == frozenset([KEYS[0], KEYS[3]])


def test_encrypted_pages_hide_numbers_and_tokens_in_both_tiers(
    tmp_path: Path, folder_address: ObjectAddress
) -> None:
    ids = b"".join(i.to_bytes(4, "little") for i in IDS[1][:8])
    with opened(tmp_path / "one", folder_address, seal=PageCipher([KEY])) as one:
        put(one, 1)
        settle(one)
        assert get(one, 1) == PAYLOADS[1]
    files = [path.read_bytes() for path in tmp_path.rglob("*.page")]
    assert len(files) == 2 and files[0] == files[1]
    assert PAYLOADS[1][:32] not in files[0] and ids not in files[0]
    with opened(tmp_path / "two", folder_address, seal=PageCipher([os.urandom(32), KEY])) as two:
        assert get(two, 1) == PAYLOADS[1], "rotated"
    with opened(tmp_path / "three", folder_address, seal=PageCipher([os.urandom(32)])) as three:
        found = get(three, 1)
        assert isinstance(found, Rejected) and "encrypted with another key" in found.reason
        assert three.tier(KEYS[1]) == "objects", "it is sound for others, and stays"
    with opened(tmp_path / "four", folder_address) as four:
        found = get(four, 1)
        assert isinstance(found, Rejected) and "no key" in found.reason


def test_a_page_of_before_encryption_is_not_uploaded(tmp_path: Path, folder_address: ObjectAddress) -> None:
    with PageStore(tmp_path / "store", max_size=2**30, fingerprint="f1", form=FORM) as plain:
        plain.put(KEYS[0], PARENT, IDS[0], PAYLOADS[0])
    with opened(tmp_path, folder_address, seal=PageCipher([KEY])) as pages:
        settle(pages)
        assert (len(pages.objects), pages.behind.passed_over) == (0, 1)


def test_pages_that_another_proxy_announces_are_found_at_once(
    tmp_path: Path, folder_address: ObjectAddress
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with opened(tmp_path / "a", folder_address) as a, opened(tmp_path / "b", folder_address) as b:
        put(a, 0, 1)
        assert a.behind.settle(30)
        assert not b.has(KEYS[0]) and b.find(KEYS[:3]) == 2 and b.tier(KEYS[0]) == "objects"
        assert isinstance(b.get(KEYS[0], PARENT, IDS[0]), Loaded)


def test_a_page_that_another_proxy_deletes_is_deleted_by_that_one_alone(
    tmp_path: Path, folder_address: ObjectAddress
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with opened(tmp_path / "a", folder_address) as a, opened(tmp_path / "b", folder_address) as b:
        put(a, 0)
        assert a.behind.settle(30)
        b.find(KEYS[:1])
        put(b, 0)
        b.release(KEYS[:1])
        assert b.delete(KEYS[:1]) == 1 and not b.has(KEYS[0])
        assert b.behind.settle(30) and b.find(KEYS[:1]) == 1, "it may have been published again meanwhile"
        put(b, 0)
        b.delete(KEYS[:1])
        assert b.behind.settle(30) and not ObjectPages(ObjectStore(folder_address), "f1").refresh()
