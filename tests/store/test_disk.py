"""`PageDisk`: nothing on disk is ever unpickled, whatever its origin."""

from __future__ import annotations

import os
from pathlib import Path

import diskcache
import pytest

from kvproxy.store.disk import PageBuffers, PageDisk, PickleRefused, RefusedKey

KEY = b"k" * 32


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_the_bomb_works_on_a_stock_cache(tmp_path: Path) -> None:
    with diskcache.Cache(str(tmp_path / "c")) as cache:
        cache["x"] = Bomb(tmp_path / "boom")
        cache["x"]
    assert (tmp_path / "boom").exists()


@pytest.mark.parametrize("min_file_size", [0, 2**20], ids=["in a file", "in the row"])
def test_planted_pickled_value_is_refused(tmp_path: Path, min_file_size: int) -> None:
    with diskcache.Cache(str(tmp_path / "c"), disk_min_file_size=min_file_size) as stock:
        stock[KEY] = Bomb(tmp_path / "boom")
    with diskcache.Cache(str(tmp_path / "c"), disk=PageDisk) as cache:
        for read in (True, False):
            with pytest.raises(PickleRefused):
                cache.get(KEY, read=read)
        assert cache.delete(KEY)
    assert not (tmp_path / "boom").exists()


def test_planted_pickled_key_can_be_listed_and_deleted_but_is_not_unpickled(tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "boom")
    with diskcache.Cache(str(tmp_path / "c")) as stock:
        stock[(bomb,)] = 1
    with diskcache.Cache(str(tmp_path / "c"), disk=PageDisk) as cache:
        (key,) = cache
        assert isinstance(key, RefusedKey)
        assert cache.delete(key)
        assert len(cache) == 0
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("value", [None, ("a",), {"a": 1}, True, 2**63, bytearray(b"x")])
def test_refuses_to_pickle(tmp_path: Path, value: object) -> None:
    with diskcache.Cache(str(tmp_path / "c"), disk=PageDisk) as cache:
        with pytest.raises(PickleRefused):
            cache[KEY] = value
        with pytest.raises(PickleRefused):
            cache[value] = 1
        assert len(cache) == 0


@pytest.mark.parametrize("value", [b"bytes", "text", -(2**63), 1.5])
def test_keeps_plain_values(tmp_path: Path, value: object) -> None:
    with diskcache.Cache(str(tmp_path / "c"), disk=PageDisk) as cache:
        cache[value] = value
        assert cache[value] == value
        assert list(cache) == [value]


def test_a_row_cannot_name_a_file_outside(tmp_path: Path) -> None:
    secret = tmp_path / "secret.page"
    secret.write_bytes(b"secret")
    with diskcache.Cache(str(tmp_path / "c"), disk=PageDisk) as cache:
        cache.set(KEY, PageBuffers((b"page",)))
        with cache.transact():
            cache._sql("UPDATE Cache SET filename = '../secret.page'")
        with pytest.raises(PickleRefused):
            cache.get(KEY, read=True)
        cache.delete(KEY)
    assert secret.read_bytes() == b"secret"


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    disk = PageDisk(str(tmp_path))
    unwritable: list[memoryview] = [memoryview(b"x"), memoryview(b"abcd")[::2]]
    with pytest.raises(BufferError):
        disk.write(tmp_path / "ab" / "cd.page", PageBuffers(tuple(unwritable)))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
