"""A damaged index costs neither the pages, which carry their own keys, nor the records, which have seals."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path

import pytest

from kvproxy.store.disk import page_name
from kvproxy.store.page_results import Loaded
from kvproxy.store.page_store import PageStore
from kvproxy.store.stored_responses import FileResponses

KEYS = [hashlib.sha256(b"%d" % i).digest() for i in range(40)]


def payload(key: bytes) -> bytes:
    return key * 300


def opened(folder: Path) -> PageStore:
    return PageStore(folder, max_size=2**24, fingerprint="f")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("damage", ["zeros", "empty", "cut"])
def test_pages_are_listed_again_by_their_files(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as store:
        for key in KEYS:
            store.put(key, b"", (1, 2), payload(key))
        usage = store.usage()
    index = tmp_path / "pages" / "cache.db"
    size = index.stat().st_size
    index.write_bytes({"zeros": bytes(size), "empty": b"", "cut": index.read_bytes()[: size // 2]}[damage])
    torn, swapped = (tmp_path / "pages" / page_name(key) for key in KEYS[:2])
    torn.write_bytes(torn.read_bytes()[:-1])
    shutil.copy(tmp_path / "pages" / page_name(KEYS[2]), swapped)
    with opened(tmp_path) as store:
        (line,) = errors(caplog)
        assert "set aside in" in line and line.endswith("38 pages listed again by their files")
        assert store.usage().pages == 38 and store.usage().bytes == usage.bytes * 38 // 40
        assert not torn.exists() and not swapped.exists(), "and made again"
        for key in KEYS[2:]:
            page = store.get(key, b"", (1, 2))
            assert isinstance(page, Loaded) and bytes(page.payload) == payload(key)
        assert store.check() == []
    caplog.clear()
    with opened(tmp_path) as store:
        assert store.usage().pages == 38 and errors(caplog) == []


async def filled(folder: Path) -> dict[str, bytes]:
    kept = {f"resp_{i}": b"%d " % i * (20 if i % 3 else 3_000) for i in range(40)}
    with FileResponses(folder, ttl_s=60, max_size=2**24) as store:
        for id, record in kept.items():
            await store.put("alice", id, record)
        await store.put("alice", "gone", b"deleted" * 1000)
        await store.delete("alice", "gone")
    return kept


async def test_records_whose_seals_are_whole_are_recovered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = await filled(tmp_path)
    index = tmp_path / "cache.db"
    content = bytearray(index.read_bytes())
    content[:100] = bytes(100)
    at = content.index(kept["resp_3"][:2000]) + 1000
    content[at] ^= 4
    index.write_bytes(content)
    del kept["resp_3"]
    for _ in range(2):
        with FileResponses(tmp_path, ttl_s=60, max_size=2**24) as store:
            for id, record in kept.items():
                assert await store.get("alice", id) == record
            for id in ("resp_3", "gone"):
                assert await store.get("alice", id) is None
            assert store.check() == []
    (line,) = errors(caplog)
    assert "set aside in" in line and line.endswith(
        "39 stored responses recovered, 1 that are damaged left behind"
    )


async def test_what_stands_behind_damage_in_the_log_is_recovered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite would go on without it, and say nothing."""
    store = FileResponses(tmp_path / "live", ttl_s=60, max_size=2**24)
    for i in range(20):
        await store.put("alice", f"resp_{i}", b"%d" % i)
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    store.close()
    log = tmp_path / "killed" / "cache.db-wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    with FileResponses(tmp_path / "killed", ttl_s=60, max_size=2**24) as store:
        assert [await store.get("alice", f"resp_{i}") for i in range(20)] == [b"%d" % i for i in range(20)]
    (line,) = errors(caplog)
    assert "fails its checksum" in line and "20 stored responses recovered" in line
