"""`check` finds what is broken, and nothing else; it changes nothing."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kvproxy.errors import SetupError
from kvproxy.store.page_store import PageStore
from kvproxy.upkeep.store_faults import StorePart
from tests.store.killed_worker import stored_keys
from tests.upkeep.filled_store import FilledStore


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> FilledStore:
    return FilledStore.make(tmp_path_factory.mktemp("store") / "kv")


@pytest.fixture
def store(original: FilledStore, tmp_path: Path) -> Iterator[FilledStore]:
    shutil.copytree(original.folder, tmp_path / "kv", symlinks=True)
    made = FilledStore(tmp_path / "kv", dict(original.texts))
    yield made
    made.assert_nothing_wrong_is_served()


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != "lock"
    }


def test_a_sound_store_has_no_fault_and_is_left_as_it_is(store: FilledStore) -> None:
    before = files(store.folder)
    found = store.check()
    assert found.sound and found.notes == ()
    assert found.looked == {
        "documents": 8,
        "pages": 24,
        "pages read": 24,
        "aliases": 1,
        "manifests": 0,
        "pages needed": 24,
        "responses": 3,
    }
    assert files(store.folder) == before


def test_a_flipped_bit_anywhere_in_a_page_is_found(store: FilledStore) -> None:
    source = random.Random(7)
    path = store.page("doc1", 1)
    whole = path.read_bytes()
    places = [0, 8, 12, 16, 48, 64, 100, 200, 4095, 4096, len(whole) - 1]
    for place in [*places, *(source.randrange(len(whole)) for _ in range(20))]:
        data = bytearray(whole)
        data[place] ^= 1 << source.randrange(8)
        path.write_bytes(data)
        found = store.check()
        assert found.bad_pages == (stored_keys("doc1", 1)[0],), place
        assert len(found.faults) == 1 and found.faults[0].part is StorePart.PAGES
    path.write_bytes(whole)
    assert store.check().sound


def test_a_truncated_a_missing_a_swapped_and_a_foreign_file(store: FilledStore) -> None:
    truncated, gone, swapped = (store.page(f"doc{n}", 1) for n in range(3))
    truncated.write_bytes(truncated.read_bytes()[:5000])
    gone.unlink()
    shutil.copy(store.page("doc3", 1), swapped)
    stray = store.folder / "pages" / "ab" / f"{'cd' * 31}.page"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"the rest of a killed write")
    (store.folder / "pages" / "notes.txt").write_text("a person's")
    found = store.check()
    assert len(found.faults) == 4 and len(found.bad_pages) == 3
    assert any("belongs to no page" in fault.line for fault in found.faults)
    assert not any("notes.txt" in fault.line for fault in found.faults)


def test_a_damaged_row_of_the_registry_is_named(store: FilledStore) -> None:
    with closing(sqlite3.connect(store.folder / "kvproxy.sqlite3")) as db:
        db.execute("UPDATE document_texts SET text = X'00' WHERE name = 'doc2' AND version = 1")
        db.execute("UPDATE document_versions SET pinned = 1 WHERE name = 'doc3' AND version = 2")
        db.commit()
    found = store.check()
    assert {fault.part for fault in found.faults} == {StorePart.DOCUMENTS}
    assert any("doc2@1" in fault.line for fault in found.faults)
    assert any("doc3@2" in fault.line for fault in found.faults)


def test_an_alias_of_nothing(store: FilledStore) -> None:
    with store.open() as (_, registry):
        registry.set_alias("doc0", "old", 7)
    (fault,) = store.check().faults
    assert fault.line == "aliases: doc0@old means version 7, which is not there (drop)"


def test_a_damaged_response(store: FilledStore) -> None:
    with closing(sqlite3.connect(store.folder / "responses" / "cache.db")) as db:
        db.execute("UPDATE Cache SET value = substr(value, 1, 20) WHERE rowid = 2")
        db.commit()
    (fault,) = store.check().faults
    assert fault.part is StorePart.RESPONSES and "is damaged" in fault.line


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("kvproxy.sqlite3", StorePart.DATABASE),
        ("pages/cache.db", StorePart.PAGES),
        ("responses/cache.db", StorePart.RESPONSES),
    ],
)
@pytest.mark.parametrize("how", ["head", "cut", "noise"])
def test_a_file_that_is_no_database_any_more(
    store: FilledStore, file: str, part: StorePart, how: str
) -> None:
    path = store.folder / file
    data = path.read_bytes()
    noise = random.Random(3).randbytes(len(data))
    path.write_bytes({"head": b"\0" * 100 + data[100:], "cut": data[:4000], "noise": noise}[how])
    found = store.check()
    assert part in {fault.part for fault in found.faults}


def test_pages_that_made_room_and_pages_of_nothing_are_no_faults(store: FilledStore) -> None:
    with store.open() as (pages, registry):
        pages.delete(stored_keys("doc1", 2))
        registry.delete([next(e.document.ref for e in registry.load() if e.document.id == "doc3")])
    found = store.check()
    assert found.sound
    assert found.notes == (
        "doc1@2: 3 pages are not on disk; computed when needed",
        "3 pages belong to no document; they make room first",
    )


def test_a_sample_says_how_much_of_it_was_read(store: FilledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvproxy.upkeep.check_store.PAGES_READ", 40_000)
    found = store.check(deep=False)
    assert found.sound and 0 < found.looked["pages read"] < found.looked["pages"]


def test_a_second_process_is_told(store: FilledStore) -> None:
    with PageStore(store.folder, max_size=2**20, fingerprint="f"):
        for work in (store.check, store.repair):
            with pytest.raises(SetupError, match="in use by another kvproxy"):
                work()


def test_a_folder_without_a_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there is no store"):
        FilledStore(tmp_path / "nowhere").check()
