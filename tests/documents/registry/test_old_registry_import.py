"""The registry's old file moves into the database: without loss, and of a damaged one only what was published."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from kvproxy.core import DocumentRef
from kvproxy.database.database import FILE_NAME
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.documents.registry import old_registry_rows as registry_rows
from kvproxy.documents.registry.old_registry_rescue import faults
from kvproxy.documents.registry.registry_entry import RegistryEntry
from kvproxy.errors import SetupError
from tests.documents.registry.old_registry import OldRegistry
from tests.documents.registry.own_registry import OwnRegistry
from tests.documents.registry.test_registry import framing

NAME = "documents.sqlite3"
PLACES = int(os.environ.get("KVPROXY_DAMAGED_PLACES", "5"))
"""Places of each file that are damaged in each way; some hundreds take minutes."""
LENGTHS = {"short": 40, "long": 30_000, "other": 900, "private": 2_000}


def text_of(id: str) -> str:
    return f"{id} 世界 " * (LENGTHS[id] // 10)


def document(id: str, version: int = 1) -> Document:
    text = text_of(id)
    return Document(
        id, version, text, etag_of(text), "private" if id == "private" else "public", "tenant:a", 1
    )


ENTRIES = {
    document(id).ref: RegistryEntry(
        document(id),
        (framing("system", i), framing("user", i + 10)),
        "page 3 differs" if id == "other" else None,
        id == "short",
    )
    for i, id in enumerate(LENGTHS)
}
DELETED = document("long", 2)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store that was closed, and one that was killed: its last changes are in the write-ahead log alone."""
    folder = tmp_path_factory.mktemp("stores")
    registry = OldRegistry(folder / "live" / NAME)
    for entry in ENTRIES.values():
        registry.publish(entry.document, entry.framings)
        if entry.document.id == "long":
            registry.close()
            registry = OldRegistry(folder / "live" / NAME)
    registry.publish(DELETED, [framing("system", 40)])
    registry.quarantine(DocumentRef("other", 1), "page 3 differs")
    registry.pin(DocumentRef("short", 1))
    registry.delete(DELETED.ref)
    shutil.copytree(folder / "live", folder / "killed")
    registry.close()
    assert (folder / "killed" / f"{NAME}-wal").stat().st_size > 50_000
    assert not (folder / "live" / f"{NAME}-wal").exists()
    return {"closed": folder / "live", "killed": folder / "killed"}


def flips(content: bytes, count: int) -> Iterator[bytes]:
    """One bit each, spread evenly, and in another place of its byte every time."""
    for i in range(count):
        at = i * len(content) // count + i % 7
        yield content[:at] + bytes([content[at] ^ 1 << i % 8]) + content[at + 1 :]


def cuts(content: bytes, count: int) -> Iterator[bytes]:
    for i in range(count):
        yield content[: i * len(content) // count]


def holes(content: bytes, count: int) -> Iterator[bytes]:
    """Zeros: 4 KiB of them here and there, and nothing else."""
    for i in range(count):
        at = i * len(content) // count // 4096 * 4096
        yield content[:at] + bytes(len(content[at : at + 4096])) + content[at + 4096 :]
    yield bytes(len(content))


def opened(folder: Path) -> tuple[dict[DocumentRef, RegistryEntry], list[str]]:
    with OwnRegistry(folder) as registry:
        return {e.document.ref: e for e in registry.load()}, registry.check()


@pytest.mark.parametrize("damage", [flips, cuts, holes])
@pytest.mark.parametrize(
    ("store", "file"), [("closed", ""), ("killed", ""), ("killed", "-wal"), ("killed", "-shm")]
)
def test_only_published_texts_are_known_after_any_damage(
    stores: dict[str, Path],
    store: str,
    file: str,
    damage: Callable[[bytes, int], Iterator[bytes]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = (stores[store] / (NAME + file)).read_bytes()
    noticed = 0
    for number, damaged in enumerate(damage(content, PLACES)):
        folder = tmp_path / str(number)
        shutil.copytree(stores[store], folder)
        (folder / (NAME + file)).write_bytes(damaged)
        caplog.clear()
        entries, told = opened(folder)
        lines = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert all(r.exc_info is None and "\n" not in r.getMessage() for r in lines)
        for ref, entry in entries.items():
            if ref == DELETED.ref:
                # Its deletion was in the part that SQLite could not read: undone, and never with another text.
                assert file == "-wal" and entry.document == DELETED
                continue
            whole = ENTRIES[ref]
            assert entry.document == whole.document
            assert set(entry.framings) <= set(whole.framings)
            assert entry.quarantined in (whole.quarantined, None) and entry.pinned in (whole.pinned, False)
        complete = entries == ENTRIES
        # A log that was cut where a transaction ends looks like one that went no further.
        assert lines or complete or (file == "-wal" and damage is cuts), number
        assert bool(told) == any("set aside" in r.getMessage() or "see " in r.getMessage() for r in lines)
        noticed += bool(lines)
        if number % 3:
            continue
        caplog.clear()
        assert opened(folder)[0] == entries and not [
            r for r in caplog.records if r.levelno >= logging.WARNING
        ]
    if file != "-shm":
        assert noticed


def test_one_bit_of_a_text_costs_that_text_alone(
    stores: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged text loses its own version and no other; the number is not used again, and the file is kept for
    inspection."""
    shutil.copytree(stores["closed"], tmp_path / "store")
    path = tmp_path / "store" / NAME
    content = path.read_bytes()
    at = content.index(text_of("other").encode()) + 100
    path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
    assert faults(path) == ["other@1: the text does not match its ETag"]
    with OwnRegistry(path.parent) as registry:
        assert {e.document.ref: e for e in registry.load()} == {
            ref: entry for ref, entry in ENTRIES.items() if ref.id != "other"
        }
        assert registry.last_version("other") == 1 and registry.last_version("long") == 2
    messages = [r.getMessage() for r in caplog.records]
    assert len(messages) == 2 and "3 document versions recovered" in messages[0]
    assert messages[1].endswith("other@1 is not served: the text does not match its ETag")
    (aside,) = path.parent.glob("*.damaged-*")
    assert (aside / NAME).read_bytes()[at : at + 1] != content[at : at + 1]
    assert any("other@1 is not served" in fault for fault in faults(path))
    assert not path.exists() and path.with_name(f"{NAME}.imported").exists()


def test_one_bit_in_the_log_does_not_undo_later_transactions(stores: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(stores["killed"], tmp_path / "store")
    wal = tmp_path / "store" / f"{NAME}-wal"
    content = wal.read_bytes()
    at = content.index(text_of("other").encode()) + 77
    wal.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
    db = sqlite3.connect(shutil.copytree(tmp_path / "store", tmp_path / "copy") / NAME)
    assert {id for (id,) in db.execute("SELECT id FROM versions")} == {"short", "long"}, (
        "all that SQLite sees"
    )
    db.close()
    assert opened(tmp_path / "store")[0] == ENTRIES, "there is a later copy of the page"


OLD_SCHEMA = """
CREATE TABLE ids (id TEXT PRIMARY KEY, last_version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (
    id TEXT NOT NULL REFERENCES ids (id),
    version INTEGER NOT NULL CHECK (version > 0),
    text BLOB NOT NULL,
    etag TEXT NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    owner_scope TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (id, version)
);
CREATE TABLE kept (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    framing TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    token_ids BLOB NOT NULL,
    pages BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    prefill_s REAL NOT NULL,
    PRIMARY KEY (id, version, framing),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
);
PRAGMA user_version = 1;
"""
LATER = """
CREATE TABLE IF NOT EXISTS quarantined (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (id, version),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
);
CREATE TABLE IF NOT EXISTS pinned (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (id, version),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
);
"""


def make_old(path: Path, source: Path, *, later: bool = True) -> None:
    """``source``'s content as the version of before digests wrote it, which put no owner into private ids."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    db = sqlite3.connect(path)
    db.executescript(f"PRAGMA journal_mode = WAL; {OLD_SCHEMA} {LATER if later else ''}")
    db.execute("ATTACH ? AS new", (str(source),))
    for table in registry_rows.TABLES[: 5 if later else 3]:
        others = ", ".join(table.columns[1:])
        id = "substr(id, 1, instr(id || char(10), char(10)) - 1)"
        db.execute(
            f"INSERT OR REPLACE INTO main.{table.name} SELECT {id}, {others} FROM new.{table.name} ORDER BY {others}"
        )
    db.commit()
    db.close()


@pytest.mark.parametrize("later", [True, False])
def test_a_registry_without_digests_is_imported(
    stores: dict[str, Path], tmp_path: Path, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    make_old(tmp_path / NAME, stores["closed"] / NAME, later=later)
    with caplog.at_level(logging.WARNING):
        entries, told = opened(tmp_path)
    without = {ref: replace(entry, quarantined=None, pinned=False) for ref, entry in ENTRIES.items()}
    assert entries == (ENTRIES if later else without) and told == [] and caplog.records == []
    with OwnRegistry(tmp_path) as registry:
        assert registry.last_version("long") == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{NAME}.imported",
        FILE_NAME,
        f"{FILE_NAME}.migrate.lock",
    ]


def test_a_damaged_registry_without_digests_is_imported_without_its_failing_rows(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    make_old(tmp_path / "old" / NAME, stores["closed"] / NAME)
    content = (tmp_path / "old" / NAME).read_bytes()
    lost = 0
    for number, damaged in enumerate([*flips(content, 2 * PLACES), *cuts(content, PLACES)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / NAME).write_bytes(damaged)
        entries, _ = opened(folder)
        for ref, entry in entries.items():
            assert ref in ENTRIES and entry.document.text == text_of(ref.id), "what its ETag says"
        lost += len(entries) < len(ENTRIES)
    assert 0 < lost < 3 * PLACES


@pytest.mark.parametrize("damage", ["visibility = 'pryvate'", "version = -1"])
def test_a_value_that_no_row_can_hold_costs_one_version_of_an_old_registry(
    stores: dict[str, Path], tmp_path: Path, damage: str
) -> None:
    make_old(tmp_path / NAME, stores["closed"] / NAME)
    with closing(sqlite3.connect(tmp_path / NAME)) as db:
        db.executescript(
            f"PRAGMA ignore_check_constraints = ON; UPDATE versions SET {damage} WHERE id = 'private'"
        )
    entries, told = opened(tmp_path)
    assert entries == {ref: entry for ref, entry in ENTRIES.items() if ref.id != "private"}
    assert any("is not served: a column differs from the row as written" in line for line in told), told


def make_schema_2(path: Path, source: Path) -> None:
    """``source``'s content as the version of before granted documents wrote it; its last rows are in the log alone."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(path.with_name("made"))) as db:
        tables = "; ".join(registry_rows.BEFORE_GRANTS.values())
        db.executescript(f"PRAGMA journal_mode = WAL; {tables}; PRAGMA user_version = 2;")
        assert "('public', 'private')" in registry_rows.BEFORE_GRANTS["versions"]
        db.execute("ATTACH ? AS new", (str(source),))
        for table in registry_rows.TABLES:
            db.execute(f"INSERT INTO main.{table.name} SELECT * FROM new.{table.name} ORDER BY rowid")
        db.commit()
        for suffix in ("", "-wal"):
            shutil.copy2(path.with_name(f"made{suffix}"), path.with_name(f"{path.name}{suffix}"))
    path.with_name("made").unlink()


def test_a_registry_of_before_granted_documents_is_migrated_without_losing_a_row(
    stores: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_schema_2(tmp_path / NAME, stores["closed"] / NAME)
    assert (tmp_path / f"{NAME}-wal").stat().st_size > 0 and faults(tmp_path / NAME) == []
    with caplog.at_level(logging.WARNING):
        entries, told = opened(tmp_path)
    assert entries == ENTRIES and told == [] and caplog.records == []
    with OwnRegistry(tmp_path) as registry:
        assert registry.last_version("long") == 2, "also the numbers of deleted versions"
        granted = replace(document("long"), version=3, visibility="granted")
        registry.publish(granted, [framing("system", 50)])
    assert opened(tmp_path)[0].keys() == {*ENTRIES, granted.ref}


def test_a_damaged_registry_of_schema_2_keeps_its_sound_rows(stores: dict[str, Path], tmp_path: Path) -> None:
    make_schema_2(tmp_path / NAME, stores["closed"] / NAME)
    with closing(sqlite3.connect(tmp_path / NAME)) as db:
        db.execute("UPDATE versions SET created = 7 WHERE id = 'other'")
        db.commit()
    entries, told = opened(tmp_path)
    assert entries == {ref: entry for ref, entry in ENTRIES.items() if ref.id != "other"}
    assert any("other@1 is not served" in line for line in told), told


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from kvproxy.documents.registry import old_registry_import as moved
from tests.documents.registry.own_registry import OwnRegistry

# Killed as the given one of the lines of this module runs: each write, its commit, the rename, and what is around them.
wanted, file = int(sys.argv[2]), moved.__file__

def count(frame, event, _):
    global wanted
    if frame.f_code.co_filename != file:
        return None
    wanted -= event == "line"
    if wanted < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return count

sys.settrace(count)
OwnRegistry(Path(sys.argv[1])).close()
"""


@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_any_point_of_the_move_nothing_is_lost(
    stores: dict[str, Path], tmp_path: Path, count: int
) -> None:
    # Some 160 lines run, of which the last 20 follow the commit.
    steps = Random(15 + count).sample(range(160), count) + Random(count).sample(range(140, 160), count // 2)
    for number, step in enumerate(steps):
        folder = shutil.copytree(stores["killed"], tmp_path / str(number))
        ended = subprocess.run([sys.executable, "-c", KILLED_AT, str(folder), str(step)], check=False)
        assert ended.returncode in (-signal.SIGKILL, 0)
        entries, told = opened(folder)
        assert entries == ENTRIES and told == [], step
        with OwnRegistry(folder) as registry:
            assert registry.last_version("long") == 2


def test_a_restored_old_file_adds_what_is_missing(stores: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(stores["closed"], tmp_path / "store")
    with OwnRegistry(tmp_path / "store") as registry:
        registry.delete([DocumentRef("short", 1)])
        registry.publish(document("long", 3), [])
    shutil.copy2(stores["closed"] / NAME, tmp_path / "store" / NAME)
    entries, told = opened(tmp_path / "store")
    assert entries.keys() == {*ENTRIES, DocumentRef("long", 3)} and told == []
    assert len(list((tmp_path / "store").glob(f"{NAME}.imported*"))) == 2


def test_a_database_with_another_text_of_the_same_version_is_refused(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    with OwnRegistry(folder) as registry:
        text = "another text"
        registry.publish(replace(document("long"), text=text, etag=etag_of(text)), [])
    shutil.copy2(stores["closed"] / NAME, folder / NAME)
    with pytest.raises(SetupError, match="long@1 already, with another text"):
        OwnRegistry(folder)
    assert (folder / NAME).exists()
