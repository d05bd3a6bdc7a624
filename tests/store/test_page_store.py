"""A damaged, foreign or half-written page is never returned, and never in the way of a good one."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path

import diskcache
import pytest

from kvproxy.errors import SetupError, StorageFull, Unavailable
from kvproxy.store.disk import PageBuffers, PageDisk, page_name
from kvproxy.store.page_record import HEADER_UNIT
from kvproxy.store.page_results import Loaded, Missing, Rejected
from kvproxy.store.page_store import PageStore

KEY = hashlib.sha256(b"one").digest()
OTHER = hashlib.sha256(b"two").digest()
PARENT = hashlib.sha256(b"parent").digest()
IDS = tuple(range(256))
PAYLOAD = os.urandom(3 * 2**20 + 17)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PageStore]:
    with open_store(tmp_path) as store:
        yield store
        assert store.check() == []


def open_store(folder: Path, fingerprint: str = "f1", disk: type[PageDisk] = PageDisk) -> PageStore:
    return PageStore(folder / "store", max_size=2**30, fingerprint=fingerprint, disk=disk)


def path_of(folder: Path, key: bytes = KEY) -> Path:
    return folder / "store" / "pages" / page_name(key)


def rejection(answer: Loaded | Missing | Rejected) -> str:
    assert isinstance(answer, Rejected)
    return answer.reason


def payload(answer: Loaded | Missing | Rejected) -> bytes:
    assert isinstance(answer, Loaded)
    return bytes(answer.payload)


def test_gives_back_what_was_put(store: PageStore) -> None:
    assert isinstance(store.get(KEY, PARENT, IDS), Missing)
    assert not store.has(KEY)
    store.put(KEY, PARENT, IDS, PAYLOAD)
    assert store.has(KEY)
    assert payload(store.get(KEY, PARENT, list(IDS))) == PAYLOAD
    usage = store.usage()
    assert (usage.pages, usage.bytes, usage.max_size) == (1, len(PAYLOAD) + HEADER_UNIT, 2**30)


def test_payload_in_several_buffers_of_any_type(store: PageStore) -> None:
    floats = array("f", [1.0, 2.0])
    store.put(KEY, b"", IDS, [memoryview(floats), b"", bytearray(b"tail")])
    assert payload(store.get(KEY, b"", IDS)) == floats.tobytes() + b"tail"


def test_an_empty_payload_and_no_tokens(store: PageStore) -> None:
    store.put(KEY, b"", (), b"")
    assert payload(store.get(KEY, b"", ())) == b""


def test_reads_into_the_callers_buffer(store: PageStore) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    target = bytearray(len(PAYLOAD))
    assert isinstance(store.get(KEY, PARENT, IDS, into=target), Loaded)
    assert target == PAYLOAD
    assert "were expected" in rejection(store.get(KEY, PARENT, IDS, into=bytearray(5)))
    assert store.has(KEY)


def test_the_loaded_payload_is_writable_and_the_callers_own(store: PageStore) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    first = store.get(KEY, PARENT, IDS)
    assert isinstance(first, Loaded)
    first.payload[0] ^= 1
    assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD


def test_survives_reopening(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.put(KEY, PARENT, IDS, PAYLOAD)
    with open_store(tmp_path) as store:
        assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD
        assert store.check() == []


def test_putting_again_writes_nothing(tmp_path: Path, store: PageStore) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    before = path_of(tmp_path).stat()
    store.put(KEY, PARENT, IDS, PAYLOAD)
    after = path_of(tmp_path).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("at", [0, 9, 40, 100, HEADER_UNIT - 1, HEADER_UNIT, HEADER_UNIT + 2**20, -1])
def test_a_flipped_bit_is_rejected_dropped_and_can_be_put_again(
    tmp_path: Path, store: PageStore, at: int
) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    content = bytearray(path_of(tmp_path).read_bytes())
    content[at] ^= 0x10
    path_of(tmp_path).write_bytes(content)
    assert len(store.check()) == 1
    assert rejection(store.get(KEY, PARENT, IDS))
    assert not store.has(KEY)
    assert store.usage().bytes == 0
    store.put(KEY, PARENT, IDS, PAYLOAD)
    assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD


@pytest.mark.parametrize("size", [0, 1, 15, HEADER_UNIT - 1, HEADER_UNIT, HEADER_UNIT + 2**20, None])
def test_a_torn_file_is_rejected(tmp_path: Path, store: PageStore, size: int | None) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    path = path_of(tmp_path)
    os.truncate(path, path.stat().st_size - 1 if size is None else size)
    assert "bytes" in rejection(store.get(KEY, PARENT, IDS))
    assert isinstance(store.get(KEY, PARENT, IDS), Missing)


def test_a_longer_file_is_rejected(tmp_path: Path, store: PageStore) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    with path_of(tmp_path).open("ab") as file:
        file.write(b"x")
    assert "were written" in rejection(store.get(KEY, PARENT, IDS))


def test_put_repairs_a_damaged_page(tmp_path: Path, store: PageStore) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    os.truncate(path_of(tmp_path), 5000)
    store.put(KEY, PARENT, IDS, PAYLOAD)
    assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD


def test_a_lost_file_is_rejected_and_dropped_at_opening(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.put(KEY, PARENT, IDS, PAYLOAD)
        store.put(OTHER, KEY, IDS, PAYLOAD)
        path_of(tmp_path).unlink()
        assert "gone" in rejection(store.get(KEY, PARENT, IDS))
        path_of(tmp_path, OTHER).unlink()
    with open_store(tmp_path) as store:
        assert store.usage().pages == 0
        assert store.check() == []


def test_another_pages_file_under_this_name_is_rejected(tmp_path: Path, store: PageStore) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    store.put(OTHER, PARENT, IDS, PAYLOAD)
    path_of(tmp_path, KEY).write_bytes(path_of(tmp_path, OTHER).read_bytes())
    assert store.check() == [f"page {KEY.hex()}: the file holds another page's key"]
    assert "another page's key" in rejection(store.get(KEY, PARENT, IDS))


def test_a_hash_is_confirmed_not_trusted(store: PageStore) -> None:
    store.put(KEY, PARENT, IDS, PAYLOAD)
    assert "other token ids" in rejection(store.get(KEY, PARENT, (*IDS[:-1], 999)))
    assert "other token ids" in rejection(store.get(KEY, PARENT, IDS[:-1]))
    assert "continues another page" in rejection(store.get(KEY, OTHER, IDS))
    assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD


def test_another_fingerprint_is_rejected_kept_and_replaced_by_put(tmp_path: Path) -> None:
    with open_store(tmp_path, "f1") as store:
        store.put(KEY, PARENT, IDS, PAYLOAD)
    with open_store(tmp_path, "f2") as store:
        assert "fingerprint" in rejection(store.get(KEY, PARENT, IDS))
        assert store.has(KEY)
        assert store.check() == []
    with open_store(tmp_path, "f1") as store:
        assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD
    with open_store(tmp_path, "f2") as store:
        store.put(KEY, PARENT, IDS, b"other bits")
        assert payload(store.get(KEY, PARENT, IDS)) == b"other bits"


def test_planted_pickles_are_rejected_reported_and_collected(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with diskcache.Cache(str(tmp_path / "store" / "pages")) as stock:
        stock[("a", "tuple")] = 1
        stock["text"] = {"pickled": True}
    with open_store(tmp_path) as store:
        with diskcache.Cache(str(tmp_path / "store" / "pages")) as stock:
            stock[KEY] = {"pickled": True}
        assert "was not written by this store" in rejection(store.get(KEY, PARENT, IDS))
        faults = store.check()
        assert sum("no page of this store" in x for x in faults) == 2
        store.put(KEY, PARENT, IDS, PAYLOAD)
        assert store.collect({KEY}) == 2
        assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD
        # A stock cache's own file is not ours to remove, only to report.
        assert [x for x in store.check() if not x.endswith("belongs to no page")] == []


def test_delete_and_collect(store: PageStore) -> None:
    keys = [hashlib.sha256(bytes([n])).digest() for n in range(6)]
    for key in keys:
        store.put(key, PARENT, IDS, b"payload")
    assert store.delete([keys[0], keys[1], OTHER]) == 2
    assert store.delete([keys[0]]) == 0
    assert store.delete([]) == 0
    assert store.collect([keys[2], OTHER]) == 3
    assert [store.has(k) for k in keys] == [False, False, True, False, False, False]
    assert store.usage().pages == 1


def test_collect_drops_other_fingerprints_only_when_not_kept(tmp_path: Path) -> None:
    with open_store(tmp_path, "f1") as store:
        store.put(KEY, PARENT, IDS, PAYLOAD)
        store.put(OTHER, PARENT, IDS, PAYLOAD)
    with open_store(tmp_path, "f2") as store:
        assert store.collect({KEY}) == 1
        assert (store.has(KEY), store.has(OTHER)) == (True, False)


def test_a_full_store_refuses_and_stays_as_it_was(tmp_path: Path) -> None:
    room = len(PAYLOAD) + HEADER_UNIT
    with PageStore(tmp_path / "store", max_size=2 * room - 1, fingerprint="f") as store:
        store.put(KEY, PARENT, IDS, PAYLOAD)
        with pytest.raises(StorageFull, match=r"store\.max_size") as full:
            store.put(OTHER, PARENT, IDS, PAYLOAD)
        assert full.value.retry_after_s
        assert not store.has(OTHER)
        assert isinstance(store.get(OTHER, PARENT, IDS), Missing)
        assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD
        store.delete([KEY])
        store.put(OTHER, PARENT, IDS, PAYLOAD)
        assert store.check() == []


class FailingDisk(PageDisk):
    """Writes half of a page, then fails; which error is in a file beside the cache."""

    def fill(self, file: FileIO, page: PageBuffers) -> None:
        failure = self.folder.parent.parent / "fail"
        if not failure.exists():
            return super().fill(file, page)
        super().fill(file, PageBuffers((page.buffers[0], memoryview(page.buffers[1])[:1000])))
        number = int(failure.read_text())
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, Unavailable)]
)
def test_a_failing_disk_leaves_nothing_half(tmp_path: Path, number: int, error: type[Exception]) -> None:
    with open_store(tmp_path, disk=FailingDisk) as store:
        (tmp_path / "fail").write_text(str(number))
        with pytest.raises(error):
            store.put(KEY, PARENT, IDS, PAYLOAD)
        assert not store.has(KEY)
        assert isinstance(store.get(KEY, PARENT, IDS), Missing)
        assert store.usage().bytes == 0
        assert store.check() == []
        (tmp_path / "fail").unlink()
        store.put(KEY, PARENT, IDS, PAYLOAD)
        assert payload(store.get(KEY, PARENT, IDS)) == PAYLOAD


def test_a_failing_index_leaves_nothing_half(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        with diskcache.Cache(str(tmp_path / "store" / "pages")) as stock:
            stock._sql("CREATE TRIGGER no BEFORE INSERT ON Cache BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(Unavailable, match="cannot write"):
            store.put(KEY, PARENT, IDS, PAYLOAD)
        assert store.check() == []
        with diskcache.Cache(str(tmp_path / "store" / "pages")) as stock:
            stock._sql("DROP TRIGGER no")
        store.put(KEY, PARENT, IDS, PAYLOAD)
        assert store.check() == []


KILLED_PUT = """
import sys, time
from pathlib import Path
from kvproxy.store.disk import PageDisk, PageBuffers
from kvproxy.store.page_store import PageStore

class Stuck(PageDisk):
    def fill(self, file, page):
        if "{where}" == "half":
            super().fill(file, PageBuffers((page.buffers[0], page.buffers[1][:1000])))
            self.hang()
        super().fill(file, page)
    def write(self, path, page):
        super().write(path, page)
        self.hang()
    def hang(self):
        print("now", flush=True)
        time.sleep(60)

store = PageStore(Path(sys.argv[1]), max_size=2**30, fingerprint="f1", disk=Stuck)
store.put(bytes.fromhex(sys.argv[2]), b"", range(256), bytes(5000))
"""


@pytest.mark.parametrize("where", ["half", "before its row"])
def test_kill_9_in_the_middle_of_a_put(tmp_path: Path, where: str) -> None:
    script = KILLED_PUT.format(where=where)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "store"), KEY.hex()], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        with pytest.raises(SetupError, match="in use"):
            open_store(tmp_path)
        process.send_signal(signal.SIGKILL)
    assert len([p for p in (tmp_path / "store" / "pages").glob("*/*") if p.is_file()]) == 1
    with open_store(tmp_path) as store:
        assert not store.has(KEY)
        assert isinstance(store.get(KEY, b"", IDS), Missing)
        assert store.check() == []
        store.put(KEY, b"", IDS, bytes(5000))
        assert payload(store.get(KEY, b"", IDS)) == bytes(5000)
        assert store.check() == []


def test_many_threads(store: PageStore) -> None:
    pages = {hashlib.sha256(bytes([n])).digest(): os.urandom(100_000) for n in range(8)}
    start = threading.Barrier(8)

    def work(n: int) -> None:
        start.wait()
        for key, content in pages.items():
            store.put(key, PARENT, IDS, content)
            assert payload(store.get(key, PARENT, IDS)) == content
            if n == 0:
                # Readers in flight keep the file they opened; no other outcome is allowed.
                store.delete([OTHER])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert store.usage().pages == 8


def test_readers_beside_a_writer_see_the_page_or_none(store: PageStore) -> None:
    stop = threading.Event()
    seen: set[bytes | str] = set()

    def read() -> None:
        while not stop.is_set():
            answer = store.get(KEY, PARENT, IDS)
            seen.add(bytes(answer.payload) if isinstance(answer, Loaded) else type(answer).__name__)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for _ in range(30):
            store.put(KEY, PARENT, IDS, b"content")
            store.delete([KEY])
        stop.set()
        for reader in readers:
            reader.result()
    assert seen <= {b"content", "Missing", "Rejected"}
    store.put(KEY, PARENT, IDS, b"content")
    assert payload(store.get(KEY, PARENT, IDS)) == b"content"


def test_a_wrong_key_length_is_a_programming_error(store: PageStore) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        store.put(b"short", PARENT, IDS, PAYLOAD)
