"""Rows of a page store and the files behind them: what a kill, a full disk or foreign rows leave is put in order."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import diskcache
import pytest

from kvproxy.errors import StorageFull, Unavailable
from kvproxy.store.disk import PageBuffers, PageDisk, page_name
from kvproxy.store.page_rows import PageRows
from kvproxy.store.publisher_shares import NO_OWNER
from kvproxy.store.store_folder import make_folder

MOST = 1000
ONE, TWO = b"1" * 32, b"2" * 32
PAGE = PageBuffers((b"head", memoryview(b"payload")))


def opened(folder: Path, disk: type[PageDisk] = PageDisk) -> PageRows:
    make_folder(folder)
    return PageRows(folder, MOST, disk)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[PageRows]:
    with closing(opened(tmp_path / "pages")) as rows:
        yield rows


def content(rows: PageRows, key: bytes) -> bytes | str | None:
    found = rows.open_page(key)
    if found is None or isinstance(found, str):
        return found
    with found:
        return found.read()


def test_a_page_is_there_until_it_is_dropped(rows: PageRows) -> None:
    assert content(rows, ONE) is None
    rows.insert(ONE, PAGE, "tenant:a")
    rows.insert(TWO, PAGE, "tenant:b")
    assert content(rows, ONE) == b"headpayload" and set(rows.rows()) == {ONE, TWO}
    assert (rows.shares.used, rows.shares.held("tenant:a")) == (2 * PAGE.bytes, PAGE.bytes)
    assert rows.drop([]) == 0
    assert rows.drop([ONE, b"3" * 32]) == 1
    assert content(rows, ONE) is None and content(rows, TWO) == b"headpayload"
    assert not (rows.folder / page_name(ONE)).exists() and rows.shares.used == PAGE.bytes


def test_pages_are_found_after_a_restart(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "pages")) as rows:
        rows.insert(ONE, PAGE, None)
    with closing(opened(tmp_path / "pages")) as rows:
        assert content(rows, ONE) == b"headpayload" and rows.shares.sizes == {ONE: PAGE.bytes}


def test_the_rest_of_a_killed_write_is_removed(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "pages")) as rows:
        rows.insert(ONE, PAGE, None)
    torn = tmp_path / "pages" / page_name(TWO)
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_bytes(b"half a pa")
    with closing(opened(tmp_path / "pages")) as rows:
        assert not torn.exists() and content(rows, ONE) == b"headpayload"


def test_a_row_without_its_file_is_told_and_dropped_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(opened(tmp_path / "pages")) as rows:
        rows.insert(ONE, PAGE, None)
        (rows.folder / page_name(ONE)).unlink()
        assert content(rows, ONE) == "its file is gone or cannot be opened"
    with caplog.at_level(logging.WARNING), closing(opened(tmp_path / "pages")) as rows:
        assert rows.rows() == [] and rows.shares.used == 0
    assert "dropped 1 pages that lost their files" in caplog.text


def test_a_row_that_is_no_page_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(opened(tmp_path / "pages")) as rows:
        rows._cache.set("foreign", 1)
        rows._cache.set(TWO, 1)
        rows.shares.add(TWO, 1, None)
        assert content(rows, TWO) == "its row holds no page file"
        rows._cache.delete(TWO)
    with caplog.at_level(logging.WARNING), closing(opened(tmp_path / "pages")) as rows:
        assert rows.rows() == ["foreign"] and rows.shares.sizes == {}
    assert "a row that is no page is left alone" in caplog.text


def test_a_full_store_takes_room_from_who_has_the_most(
    rows: PageRows, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(9):
        rows.insert(bytes([n]) * 32, PageBuffers((bytes(100),)), "tenant:a")
    rows.admit(100, "tenant:b")
    assert len(rows.rows()) == 9, "there was room"
    with caplog.at_level(logging.WARNING):
        rows.admit(300, "tenant:b")
    assert len(rows.rows()) == 7 and "2 pages of tenant:a made room for tenant:b" in caplog.text


@pytest.mark.parametrize("owner", ["tenant:a", NO_OWNER])
def test_who_has_its_share_gets_no_more(rows: PageRows, owner: str) -> None:
    rows.insert(ONE, PageBuffers((bytes(600),)), "tenant:a")
    rows.insert(TWO, PageBuffers((bytes(300),)), "tenant:b")
    with pytest.raises(
        StorageFull, match=r"900 of 1000 bytes and 200 more are needed.*raise store\.max_size"
    ) as caught:
        rows.admit(200, owner)
    assert ("your documents hold 600" in caught.value.message) is (owner != NO_OWNER)
    assert caught.value.retry_after_s == 60 and len(rows.rows()) == 2


class BrokenDisk(PageDisk):
    """A disk that takes no page."""

    error: Exception = OSError(errno.ENOSPC, "no space left on device")

    def store(self, value: Any, read: bool, key: Any = None) -> Any:
        if isinstance(value, PageBuffers):
            raise self.error
        return super().store(value, read, key)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "no space"), StorageFull, "the disk of the page store is full"),
        (OSError(errno.EDQUOT, "quota"), StorageFull, "the disk of the page store is full"),
        (OSError(errno.EIO, "broken disk"), Unavailable, "cannot write: .*broken disk"),
        (diskcache.Timeout(), Unavailable, "cannot write: Timeout"),
    ],
)
def test_a_page_that_was_not_written_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], words: str
) -> None:
    monkeypatch.setattr(BrokenDisk, "error", error)
    with closing(opened(tmp_path / "pages", BrokenDisk)) as rows:
        with pytest.raises(kind, match=words) as caught:
            rows.insert(ONE, PAGE, "tenant:a")
        assert type(caught.value) is kind
        assert rows.rows() == [] and rows.shares.used == 0 and content(rows, ONE) is None
