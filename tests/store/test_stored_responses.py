from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diskcache
import pytest

from kvproxy.errors import SetupError
from kvproxy.store.disk import PageDisk
from kvproxy.store.stored_responses import FileResponses


@contextmanager
def opened(folder: Path, *, ttl_s: float = 60.0, max_size: int = 2**24) -> Iterator[FileResponses]:
    with FileResponses(folder / "responses", ttl_s=ttl_s, max_size=max_size) as store:
        yield store
        assert store.check() == []


async def test_a_record_comes_back_to_its_scope_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        await store.put("alice", "resp_1", b"hers")
        assert await store.get("alice", "resp_1") == b"hers"
        assert await store.get("bob", "resp_1") is None
        assert await store.get("alice", "resp_2") is None
        assert await store.delete("bob", "resp_1") is False
        assert await store.get("alice", "resp_1") == b"hers"


async def test_no_id_reaches_into_another_scope(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        await store.put("alice", "resp_1", b"hers")
        for scope, id in (("ali", "ce\nresp_1"), ("", "alice\nresp_1"), ("alice\nresp_1", "")):
            assert await store.get(scope, id) is None


async def test_what_was_put_is_found_without_waiting(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for i in range(20):
            store.put("alice", f"resp_{i}", b"%d" % i)
            assert await store.get("alice", f"resp_{i}") == b"%d" % i


async def test_deleted_once(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        await store.put("alice", "resp_1", b"x")
        assert await store.delete("alice", "resp_1") is True
        assert await store.delete("alice", "resp_1") is False
        assert await store.get("alice", "resp_1") is None


async def test_records_outlive_the_process(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put("alice", "resp_1", b"x")
    with opened(tmp_path) as store:
        assert await store.get("alice", "resp_1") == b"x"


async def test_records_expire(tmp_path: Path) -> None:
    with opened(tmp_path, ttl_s=0.05) as store:
        await store.put("alice", "resp_1", b"x")
        await asyncio.sleep(0.06)
        assert await store.get("alice", "resp_1") is None
    with opened(tmp_path) as store:
        assert await store.delete("alice", "resp_1") is False


async def test_the_oldest_make_room(tmp_path: Path) -> None:
    with opened(tmp_path, max_size=2**20) as store:
        for i in range(40):
            await store.put("alice", f"resp_{i}", os.urandom(2**16))
        kept = [i for i in range(40) if await store.get("alice", f"resp_{i}") is not None]
    assert kept == list(range(kept[0], 40))
    assert 4 <= len(kept) <= 16
    assert sum(path.stat().st_size for path in (tmp_path / "responses").glob("cache.db")) <= 2**21


async def test_a_record_that_would_empty_the_store_is_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, max_size=2**20) as store:
        await store.put("alice", "resp_1", b"x")
        with caplog.at_level(logging.WARNING):
            await store.put("alice", "resp_2", bytes(2**19))
        assert "resp_2" in caplog.text
        assert await store.get("alice", "resp_1") == b"x"
        assert await store.get("alice", "resp_2") is None


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


async def test_a_planted_pickle_is_a_missing_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path):
        pass
    with diskcache.Cache(str(tmp_path / "responses"), disk=diskcache.Disk) as stock:
        stock["alice\nresp_1"] = Bomb(tmp_path / "boom")
    with (
        caplog.at_level(logging.ERROR),
        FileResponses(tmp_path / "responses", ttl_s=60.0, max_size=2**20) as store,
    ):
        assert await store.get("alice", "resp_1") is None
        assert len(store.check()) == 1
    assert "resp_1" in caplog.text
    assert not (tmp_path / "boom").exists()


async def test_check_names_a_foreign_key(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with diskcache.Cache(str(tmp_path / "responses"), disk=PageDisk) as other:
        other["stranger"] = b"x"
    with FileResponses(tmp_path / "responses", ttl_s=1.0, max_size=2**20) as store:
        assert store.check() == ["a key that this store did not write: 'stranger'"]


def test_a_broken_index_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path):
        pass
    (tmp_path / "responses" / "cache.db").write_bytes(b"no database" * 1000)
    with caplog.at_level(logging.ERROR), opened(tmp_path):
        pass
    assert "set aside" in caplog.text


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "responses").write_text("in the way")
    with pytest.raises(SetupError):
        FileResponses(tmp_path / "responses", ttl_s=1.0, max_size=2**20)


def test_closing_twice_does_no_harm(tmp_path: Path) -> None:
    store = FileResponses(tmp_path / "responses", ttl_s=1.0, max_size=2**20)
    store.close()
    store.close()
    with FileResponses(tmp_path / "responses", ttl_s=1.0, max_size=2**20) as again:
        assert again.check() == [], "it was closed whole, and nobody holds it"


async def test_no_scope_pushes_out_what_another_has_within_its_share(tmp_path: Path) -> None:
    with opened(tmp_path, max_size=2**20) as store:
        for i in range(4):
            await store.put("bob", f"resp_{i}", os.urandom(2**16))
        for i in range(40):
            await store.put("alice", f"resp_{i}", os.urandom(2**16))
        assert all([await store.get("bob", f"resp_{i}") for i in range(4)])
        kept = [i for i in range(40) if await store.get("alice", f"resp_{i}")]
        assert kept == list(range(kept[0], 40)) and len(kept) >= 8
    with opened(tmp_path, max_size=2**20) as store:
        for i in range(30):
            await store.put("carol", f"resp_{i}", os.urandom(2**16))
        assert all([await store.get("bob", f"resp_{i}") for i in range(4)]), "counted again after a restart"


async def test_expired_records_make_room_first(tmp_path: Path) -> None:
    with opened(tmp_path, max_size=2**20) as store:
        for i in range(8):
            await store.put("alice", f"resp_{i}", os.urandom(2**16))
    with opened(tmp_path, max_size=2**20, ttl_s=0.05) as store:
        for i in range(7):
            await store.put("bob", f"resp_{i}", os.urandom(2**16))
        await asyncio.sleep(0.06)
        for i in range(6):
            await store.put("carol", f"resp_{i}", os.urandom(2**16))
        assert all([await store.get("alice", f"resp_{i}") for i in range(8)])


async def test_records_of_before_there_were_seals_get_them(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with diskcache.Cache(str(tmp_path / "responses"), disk=PageDisk) as before:
        before._sql("PRAGMA user_version = 0")
        before.set("alice\nresp_1", b'{"response": 1}', expire=60)
        before.set("alice\nresp_2", b"gone", expire=0.001)
    for _ in range(2):
        with opened(tmp_path) as store:
            assert await store.get("alice", "resp_1") == b'{"response": 1}'
            assert await store.get("alice", "resp_2") is None
    with diskcache.Cache(str(tmp_path / "responses"), disk=PageDisk) as later:
        assert later.get("alice\nresp_1", expire_time=True)[1] is not None
        later.set("alice\nresp_3", b'{"response": 3}')
    with FileResponses(tmp_path / "responses", ttl_s=1.0, max_size=2**20) as store:
        assert await store.get("alice", "resp_3") is None, "nobody writes such any more"
        assert store.check() == ["response resp_3 is damaged"]


@pytest.mark.parametrize(
    "sql", ["value = x'00' || substr(value, 2)", "key = 'bob' || substr(key, 6)", "value = 7"]
)
async def test_a_damaged_record_is_nobodys_and_named(
    tmp_path: Path, sql: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as store:
        await store.put("alice", "resp_1", b"hers")
        await store.put("alice", "resp_2", b"hers too")
    with diskcache.Cache(str(tmp_path / "responses"), disk=PageDisk) as other:
        if sql.startswith("value = x"):
            sql = "value = CAST(substr(value, 1, 38) || x'00' || substr(value, 40) AS BLOB)"
        other._sql(f"UPDATE Cache SET {sql} WHERE key LIKE '%resp_1'")
    with (
        caplog.at_level(logging.WARNING),
        FileResponses(tmp_path / "responses", ttl_s=60, max_size=2**20) as store,
    ):
        assert [r.getMessage() for r in caplog.records] == ["response resp_1 is damaged and not served"]
        assert await store.get("alice", "resp_1") is None and await store.get("bob", "resp_1") is None
        assert await store.get("alice", "resp_2") == b"hers too"
        assert store.check() == ["response resp_1 is damaged"]
