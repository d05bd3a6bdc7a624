"""`repair` mends what `check` finds, loses no text that can be verified, and says what is left."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kvproxy.database.database import FILE_NAME
from kvproxy.documents.prepared.prepared_texts import damaged_texts, drop_damaged_texts
from kvproxy.upkeep.store_faults import StorePart
from tests.store.killed_worker import stored_keys
from tests.upkeep.filled_store import FilledStore
from tests.upkeep.test_check_store import original, store

__all__ = ["original", "store"]


def test_damaged_pages_are_dropped_and_all_texts_stay(store: FilledStore) -> None:
    for number in range(3):
        path = store.page(f"doc{number}", 1)
        data = bytearray(path.read_bytes())
        data[random.Random(number).randrange(len(data))] ^= 4
        path.write_bytes(data)
    done = store.repair()
    assert len(done.mended) == 3 and done.left == ()
    assert "3 pages dropped; the next start computes them again" in done.notes
    assert store.check().sound and store.refs() == store.texts.keys()
    there = store.assert_nothing_wrong_is_served()
    assert there["doc0", 1] == 2 and there["doc3", 1] == 3


def test_a_sound_store_is_left_alone(store: FilledStore) -> None:
    done = store.repair()
    assert (done.mended, done.left, done.notes) == ((), (), ())
    assert sum(store.assert_nothing_wrong_is_served().values()) == 24


def test_damaged_rows_are_set_aside_with_a_report_and_others_stay(store: FilledStore) -> None:
    with closing(sqlite3.connect(store.folder / "kvproxy.sqlite3")) as db:
        db.execute("UPDATE document_texts SET text = X'00' WHERE name = 'doc2' AND version = 1")
        db.commit()
    done = store.repair()
    assert done.left == () and any("doc2@1" in fault.line for fault in done.mended)
    assert store.refs() == store.texts.keys() - {("doc2", 1)}
    assert any("set aside" in note and "doc2@1" in note for note in done.notes)
    there = store.assert_nothing_wrong_is_served()
    assert sum(there.values()) == 21, "its pages stay, in case that the text comes back"
    with store.open() as (pages, _):
        assert all(pages.has(key) for key in stored_keys("doc2", 1))


@pytest.mark.parametrize("how", ["head", "cut", "noise"])
def test_an_index_is_rebuilt_from_the_files_themselves(store: FilledStore, how: str) -> None:
    path = store.folder / "pages" / "cache.db"
    data = path.read_bytes()
    noise = random.Random(3).randbytes(len(data))
    path.write_bytes({"head": b"\0" * 100 + data[100:], "cut": data[:4000], "noise": noise}[how])
    assert store.repair().left == () and store.check().sound
    assert sum(store.assert_nothing_wrong_is_served().values()) == 24


def test_strays_and_orphans_are_removed(store: FilledStore) -> None:
    stray = store.folder / "pages" / "ab" / f"{'cd' * 31}.page"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x")
    with store.open() as (_, registry):
        stray.write_bytes(b"x")
        registry.delete([e.document.ref for e in registry.load() if e.document.id == "doc3"])
    done = store.repair()
    assert not stray.exists() and "6 pages of no document removed" in done.notes
    assert len(store.page_paths) == 18 and store.check().sound


def test_an_alias_of_nothing_is_removed(store: FilledStore) -> None:
    with store.open() as (_, registry):
        registry.set_alias("doc0", "old", 7)
    assert store.repair().left == ()
    with store.open() as (_, registry):
        assert [a.alias for a in registry.aliases()] == ["stable"]


def test_damaged_responses_are_dropped(store: FilledStore) -> None:
    with closing(sqlite3.connect(store.folder / "responses" / "cache.db")) as db:
        db.execute("UPDATE Cache SET value = substr(value, 1, 20) WHERE rowid = 2")
        db.commit()
    done = store.repair()
    assert "1 stored responses dropped" in done.notes and store.check().looked["responses"] == 2


def test_a_database_that_cannot_be_recovered_is_left_to_a_person(store: FilledStore) -> None:
    path = store.folder / "kvproxy.sqlite3"
    before = random.Random(5).randbytes(path.stat().st_size)
    path.write_bytes(before)
    done = store.repair()
    assert done.left and not store.check().sound
    assert any("backup" in note for note in done.notes)
    assert path.read_bytes() == before, "nothing is guessed"
    assert len(store.page_paths) == 24, "and no page is dropped for want of its document"


def test_prepared_texts_are_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "prepared.sqlite3"
    path.write_bytes(random.Random(1).randbytes(9000))
    assert damaged_texts(path)
    drop_damaged_texts(path)
    assert not path.exists()
    drop_damaged_texts(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO prepared VALUES ('a', 1, 'r', X'00', X'00')")
        db.commit()
    assert len(damaged_texts(path)) == 1
    drop_damaged_texts(path)
    assert damaged_texts(path) == []


def test_a_store_on_a_medium_that_cannot_be_written_is_checked_and_not_repaired(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.page("doc1", 1)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    shutil.rmtree(store.folder / "responses")
    monkeypatch.setattr("os.access", lambda *_: False)
    from kvproxy.errors import SetupError

    with pytest.raises(SetupError, match="cannot be written"):
        store.repair()
    assert len(store.check().faults) == 1


@pytest.mark.parametrize(
    "damage", ["raw = 0", "raw = 3", "filename = 'ab/cd.page'", "key = X'0102'", "mode = 1, filename = NULL"]
)
def test_a_row_of_the_page_index_that_no_store_wrote_is_gone_and_its_page_found_again(
    store: FilledStore, damage: str
) -> None:
    with closing(sqlite3.connect(store.folder / "pages" / "cache.db")) as db:
        db.execute(f"UPDATE Cache SET {damage} WHERE rowid = 5")
        db.commit()
    assert not store.check().sound
    assert store.repair().left == () and store.check().sound
    assert sum(store.assert_nothing_wrong_is_served().values()) == 24


@pytest.mark.parametrize("left", ["half a header", "a frame without its page", "a frame over an older one"])
def test_a_write_that_a_kill_left_unfinished_is_dropped_and_every_commit_stays(
    store: FilledStore, tmp_path: Path, left: str
) -> None:
    killed = FilledStore(tmp_path / "killed", store.texts)
    with store.open() as (pages, registry):
        for version in (3, 4):
            store.publish(pages, registry, "doc1", version)
        shutil.copytree(store.folder, killed.folder, symlinks=True)
    log = killed.folder / f"{FILE_NAME}-wal"
    whole = log.read_bytes()
    frame = bytearray(whole[-(24 + 4096) :])  # the last frame has this log's salts
    if left == "half a header":
        log.write_bytes(whole[:20])
    elif left == "a frame without its page":
        log.write_bytes(whole + frame[:24])
    else:
        frame[24:] = bytes(4096)  # SQLite begins a log anew over the frames of the one before
        log.write_bytes(whole + frame)
    found = killed.check()
    assert {(fault.part, fault.mending) for fault in found.faults if fault.part is StorePart.DATABASE} == {
        (StorePart.DATABASE, "drop")
    }
    done = killed.repair()
    assert done.left == () and killed.check().sound
    there = killed.refs()
    assert there == (store.texts.keys() if left != "half a header" else there)
    assert {("doc0", 1), ("doc3", 2)} <= there
