"""A store opens after a crash or beside foreign files, or says in one sentence why it cannot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import diskcache
import pytest

from kvproxy.errors import SetupError
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.store.disk import PageDisk
from kvproxy.store.page_store import PageStore
from kvproxy.store.store_folder import (
    FolderLock,
    check_own,
    index_faults,
    make_folder,
    open_index,
    page_files,
)


def test_makes_private_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    make_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o755, "who may look into it is its maker's to say"


def test_a_folder_that_others_use_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "pages").mkdir()
    (shared / "site.md").write_text("x")
    with pytest.raises(
        SetupError, match=r"site\.md.* is no page store; set store\.path to a folder of its own"
    ):
        PageStore(shared, max_size=2**20, fingerprint="f")
    assert shared.stat().st_mode & 0o777 == 0o755
    assert sorted(p.name for p in shared.iterdir()) == ["pages", "site.md"]


def test_an_empty_folder_is_taken_as_it_is_and_a_store_stays_one(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o755)
    (volume / "lost+found").mkdir()
    for _ in range(2):
        PageStore(volume, max_size=2**20, fingerprint="f").close()
        (volume / "notes.txt").write_text("an operator's")
    assert volume.stat().st_mode & 0o777 == 0o755
    private = [
        p for p in volume.rglob("*") if p.name not in ("lost+found", "notes.txt") and p.parent == volume
    ]
    assert {p.stat().st_mode & 0o077 for p in private} == {0}


def test_what_a_store_left_behind_is_no_other_thing(tmp_path: Path) -> None:
    """To start anew, one moves the registry and the pages away, and need not know the other files."""
    for name in ("prepared.sqlite3", "prepared.sqlite3-wal", "documents.damaged-1", "spill"):
        (tmp_path / name).touch()
    PageStore(tmp_path, max_size=2**20, fingerprint="f").close()


def test_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupError, match=r"cannot write to the page store .* set store.path"):
        make_folder(tmp_path / "file" / "store")


def test_one_store_at_a_time(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(SetupError, match="in use by another kvproxy"):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    FolderLock(tmp_path).release()


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 4096)


def _half_garbage(path: Path) -> None:
    with diskcache.Cache(str(path.parent)) as cache:
        for n in range(500):
            cache[n] = n
        cache._sql("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + b"\xa5" * 8192 + content[middle + 8192 :])


def _folder(path: Path) -> None:
    path.mkdir()


def _other_tables(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE Cache (strange)")
    connection.execute("CREATE TABLE Settings (key TEXT NOT NULL UNIQUE, value)")
    connection.commit()
    connection.close()


def _foreign_setting(path: Path) -> None:
    with diskcache.Cache(str(path.parent)) as cache:
        cache._sql("INSERT INTO Settings VALUES ('disk_unknown', 1)")


@pytest.mark.parametrize("damage", [_garbage, _half_garbage, _folder, _other_tables, _foreign_setting])
def test_an_unusable_index_is_set_aside(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(damage)
    damage(tmp_path / "cache.db")
    cache = open_index(tmp_path, PageDisk)
    assert len(cache) == 0
    cache[b"k"] = 1
    cache.close()
    assert index_faults(tmp_path) == []
    (aside,) = tmp_path.glob("broken-*")
    assert (aside / "cache.db").exists()
    assert list(page_files(tmp_path)) == []
    assert "starting empty" in caplog.text


def test_an_index_locked_by_a_stranger_is_left_alone(tmp_path: Path) -> None:
    open_index(tmp_path, PageDisk).close()
    stranger = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    stranger.execute("PRAGMA locking_mode = EXCLUSIVE")
    stranger.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SetupError, match="locked"):
        open_index(tmp_path, PageDisk)
    stranger.close()
    assert list(tmp_path.glob("broken-*")) == []
    open_index(tmp_path, PageDisk).close()


def test_a_folder_in_which_commands_made_keys_before_the_first_start_is_a_store(tmp_path: Path) -> None:
    """``kvproxy host-key list`` and ``kvproxy keys create`` may come before ``kvproxy serve``."""
    HostKeys.open(tmp_path)
    for name in ("kvproxy.sqlite3", "kvproxy.sqlite3.migrate.lock", "keys.secret"):
        (tmp_path / name).touch()
    (tmp_path / "ledger").mkdir()
    check_own(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(SetupError, match="photos"):
        check_own(tmp_path)
