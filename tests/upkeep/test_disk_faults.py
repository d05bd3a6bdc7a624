"""A full disk, one that is read-only, a second process and a clock that jumps, with the real store."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.errors import SetupError, StorageFull, Unavailable
from kvproxy.store.page_results import Loaded
from tests.store.killed_worker import (
    TOKENS,
    document,
    framing,
    owner_of,
    payload_of,
    stored_keys,
)
from tests.upkeep.filled_store import FilledStore, read

SMALL = 4 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB. Skipped where this user may mount none; the limit on files below needs no such right."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(where)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill_up(store: FilledStore) -> tuple[set[tuple[str, int]], str]:
    """Publish until the disk is full; return what was acknowledged, and the refusal."""
    done: set[tuple[str, int]] = set()
    with store.open() as (pages, registry):
        for version in range(3, 1000):
            try:
                store.publish(pages, registry, "doc1", version)
            except (StorageFull, Unavailable) as e:
                assert e.retry_after_s
                return done, e.message
            done.add(("doc1", version))
    raise AssertionError("the disk never was full")


def test_a_full_disk_refuses_and_loses_nothing(small_disk: Path) -> None:
    store, ballast = FilledStore.make(small_disk / "kv"), small_disk / "ballast"
    ballast.write_bytes(b"x" * 2**20)  # room for the copy of a damaged database
    before = set(store.texts)
    done, why = fill_up(store)
    assert "full" in why
    # A start on a disk without a byte left may refuse, with a reason. With some room all is there.
    assert store.assert_nothing_wrong_is_served().keys() in (set(), before | done)
    ballast.unlink()
    there = store.assert_nothing_wrong_is_served()
    assert before | done <= there.keys() and all(there[version] == 3 for version in before | done)
    assert store.check().sound
    with store.open() as (pages, registry):  # room again
        registry.delete([document("doc1", version).ref for _, version in sorted(done)[:5]])
        pages.collect(registry.page_keys())
        number = registry.last_version("doc2", owner_of("doc2")) + 1
        store.publish(pages, registry, "doc2", number)
    assert store.repair().left == () and store.check().sound


def test_a_full_disk_can_be_repaired(small_disk: Path) -> None:
    store, ballast = FilledStore.make(small_disk / "kv"), small_disk / "ballast"
    ballast.write_bytes(b"x" * 2**20)  # room for the copy of a damaged database
    fill_up(store)
    ballast.unlink()
    path = store.page("doc0", 1)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    with path.open("r+b") as file:  # in place: there is no room for a second file
        file.write(data)
    assert len(store.check().bad_pages) == 1
    assert store.repair().left == () and store.check().sound


_FILL = """
import resource, signal, sys
from pathlib import Path
from tests.upkeep.filled_store import FilledStore
from tests.upkeep.test_disk_faults import fill_up
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
print(fill_up(FilledStore(Path(sys.argv[1])))[1])
"""


@pytest.mark.parametrize("limit", [pytest.param(20_000, marks=pytest.mark.slow), 300_000])
def test_a_write_that_the_system_cuts_short_loses_nothing(tmp_path: Path, limit: int) -> None:
    """A limit on the size of files stands for a full disk: writes end in the middle of a page or a row."""
    store = FilledStore.make(tmp_path / str(limit))
    ended = subprocess.run(
        [sys.executable, "-c", _FILL, str(store.folder), str(limit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    if limit > 100_000:  # below it, even the registry's first change is refused
        assert ended.returncode == 0 and ended.stdout.strip(), ended.stderr
    store.texts |= {("doc1", version): document("doc1", version).text for version in range(3, 1000)}
    there = store.assert_nothing_wrong_is_served()
    assert there.keys() >= {(f"doc{n}", v) for n in range(4) for v in (1, 2)}, ended.stderr
    done = store.repair()
    assert done.left == () and store.check().sound
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_read_only_medium_is_checked_and_neither_opened_nor_repaired(small_disk: Path) -> None:
    store = FilledStore.make(small_disk / "kv")
    path = store.page("doc0", 1)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert len(store.check().bad_pages) == 1
    for work in (store.repair, lambda: store.open().__enter__()):
        with pytest.raises(SetupError, match=r"cannot (be )?writ"):
            work()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert store.repair().left == () and store.check().sound


_SECOND = """
import sys
from pathlib import Path
from kvproxy.errors import SetupError
from tests.upkeep.filled_store import FilledStore
store = FilledStore(Path(sys.argv[1]))
for work in (store.check, store.repair, lambda: store.open().__enter__()):
    try:
        work()
    except SetupError as e:
        print(e.message)
"""


def test_of_two_processes_the_second_is_told_and_the_first_goes_on(tmp_path: Path) -> None:
    store = FilledStore.make(tmp_path / "kv")
    with store.open() as (pages, registry):
        ended = subprocess.run(
            [sys.executable, "-c", _SECOND, str(store.folder)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert ended.stdout.count("in use by another kvproxy") == 3, ended.stdout
        store.publish(pages, registry, "doc1", 3)
    assert store.assert_nothing_wrong_is_served()["doc1", 3] == 3 and store.check().sound


@pytest.mark.parametrize("jump", [-10 * 365 * 86_400.0, 10 * 365 * 86_400.0])
def test_a_clock_that_jumps_loses_no_document_and_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    store = FilledStore.make(tmp_path / "kv")
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + jump)
        there = store.assert_nothing_wrong_is_served()
        assert there.keys() == store.texts.keys() and set(there.values()) == {3}
        with store.open() as (pages, registry):
            store.publish(pages, registry, "doc1", 3)
        assert store.check().sound
        with store.responses() as responses:  # a record's lifetime is by this clock
            record = asyncio.run(read(responses, "resp_0"))
            assert record == (None if jump > 0 else b"resp_0")
    assert store.assert_nothing_wrong_is_served()["doc1", 3] == 3
    assert store.check().sound and store.repair().left == ()


def test_a_page_that_made_room_is_missing_and_never_wrong(tmp_path: Path) -> None:
    """Eviction in a full store, beside documents of others."""
    store = FilledStore.make(tmp_path / "kv")
    with store.open(max_size=30 * 2**15) as (pages, registry):
        pages.assign(registry.page_owners())
        for id in ("doc4", "doc5"):
            for key in stored_keys(id, 1):
                pages.put(key, b"", TOKENS, payload_of(key), owner_of(id))
            registry.publish(document(id, 1), [framing(id, 1)])
            store.texts[id, 1] = document(id, 1).text
            for key in stored_keys(id, 1):
                assert isinstance(pages.get(key, b"", TOKENS), Loaded)
    found = store.check()
    assert found.sound and store.assert_nothing_wrong_is_served().keys() == store.texts.keys()
