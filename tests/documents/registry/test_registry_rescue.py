"""Damage to the database's files: only published texts are known, and nothing beside them is ever guessed."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DatabaseError

from kvproxy.core import DocumentRef
from kvproxy.database.database import FILE_NAME
from kvproxy.database.tables.account_tables import TENANTS
from kvproxy.documents.registry.registry_entry import DocumentAlias, RegistryEntry
from kvproxy.documents.registry.registry_rescue import database_faults, make_database_sound
from kvproxy.errors import SetupError
from tests.documents.registry.own_registry import OwnRegistry
from tests.documents.registry.test_old_registry_import import (
    DELETED,
    ENTRIES,
    cuts,
    flips,
    holes,
    text_of,
)
from tests.documents.registry.test_registry import framing

PLACES = int(os.environ.get("KVPROXY_DAMAGED_PLACES", "3"))
COUNT = 300
TENANT = "a tenant whose row is here"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store that was closed, and one that was killed: its last changes are in the write-ahead log alone."""
    folder = tmp_path_factory.mktemp("stores")
    for _ in range(2):
        with OwnRegistry(folder / "live") as registry:
            if not (folder / "before").exists():
                with registry.database.transaction() as db:
                    rows = [{"id": f"{TENANT} {i}", "scope": str(i), "created_ms": 1} for i in range(COUNT)]
                    db.execute(insert(TENANTS), rows)
                for entry in list(ENTRIES.values())[:2]:
                    registry.publish(entry.document, entry.framings)
                (folder / "before").touch()
                continue
            for entry in list(ENTRIES.values())[2:]:
                registry.publish(entry.document, entry.framings)
            registry.publish(DELETED, [framing("system", 40)])
            registry.set_alias("other", "stable", 1)
            registry.quarantine(DocumentRef("other", 1), "page 3 differs")
            registry.pin(DocumentRef("short", 1), True)
            registry.delete([DELETED.ref])
            shutil.copytree(folder / "live", folder / "killed")
    assert (folder / "killed" / f"{FILE_NAME}-wal").stat().st_size > 50_000
    return {"closed": folder / "live", "killed": folder / "killed"}


def opened(folder: Path) -> tuple[dict[DocumentRef, RegistryEntry], list[str], int]:
    """The finds of a start: the documents, what is told of losses, and the number of tenants."""
    with OwnRegistry(folder) as registry:
        entries = {e.document.ref: e for e in registry.load()}
        with registry.database.snapshot() as db:
            tenants = db.execute(select(func.count()).select_from(TENANTS)).scalar_one()
        return entries, registry.check(), tenants


def check_recovered(
    entries: dict[DocumentRef, RegistryEntry], lines: list[logging.LogRecord], file: str
) -> None:
    """Check that what is served is what was published, and that the log has a line for each loss."""
    assert all(r.exc_info is None and "\n" not in r.getMessage() for r in lines)
    for ref, entry in entries.items():
        if ref == DELETED.ref:
            assert file == "-wal" and entry.document == DELETED, "a deletion that was cut off"
            continue
        assert entry.document == ENTRIES[ref].document
        assert set(entry.framings) <= set(ENTRIES[ref].framings)


@pytest.mark.parametrize("damage", [flips, cuts, holes])
@pytest.mark.parametrize(("store", "file"), [("closed", ""), ("killed", ""), ("killed", "-wal")])
def test_only_published_texts_are_known_after_any_damage(
    stores: dict[str, Path],
    store: str,
    file: str,
    damage: Callable[[bytes, int], Iterator[bytes]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = (stores[store] / (FILE_NAME + file)).read_bytes()
    noticed = 0
    for number, damaged in enumerate(damage(content, PLACES)):
        folder = shutil.copytree(stores[store], tmp_path / str(number))
        (folder / (FILE_NAME + file)).write_bytes(damaged)
        if not damaged and not file:
            continue  # an empty file is a new database, without a log beside it
        caplog.clear()
        try:
            entries, told, tenants = opened(folder)
        except SetupError as e:
            noticed += 1
            assert "\n" not in str(e) and (folder / (FILE_NAME + file)).read_bytes() == damaged
            continue
        except (
            DatabaseError
        ) as e:  # what is beside the registry is its readers' to check: they say so, and stop
            noticed += 1
            assert "tenants" in str(e.statement)
            continue
        lines = [r for r in caplog.records if r.levelno >= logging.WARNING]
        check_recovered(entries, lines, file)
        assert tenants == COUNT or damage is not flips
        assert lines or entries == ENTRIES or (file == "-wal" and damage is cuts), number
        noticed += bool(lines)
        assert bool(told) >= (entries.keys() != ENTRIES.keys() and not (file == "-wal" and damage is cuts))
    assert noticed or damage is flips, "a flip may lie where nothing is"


def damaged_store(stores: dict[str, Path], folder: Path, *, page_of: bytes, at: int = 0) -> Path:
    """A store whose page with these bytes is zeros."""
    shutil.copytree(stores["closed"], folder)
    path = folder / FILE_NAME
    content = bytearray(path.read_bytes())
    begin = content.index(page_of) // 4096 * 4096
    content[begin : begin + 4096] = bytes(4096)
    path.write_bytes(content)
    return path


def test_a_lost_page_of_the_registry_costs_the_rows_on_it_alone(
    stores: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = damaged_store(stores, tmp_path / "store", page_of=b"page 3 differs")
    asked: list[Path] = []
    make_database_sound(path, lambda found: asked.append(found) or [])  # type: ignore[func-returns-value]  # append returns None
    assert asked == [path.with_name(f"{FILE_NAME}.examined")] and not asked[0].exists()
    entries, told, tenants = opened(tmp_path / "store")
    assert tenants == COUNT and entries.keys() < ENTRIES.keys() and told
    with OwnRegistry(tmp_path / "store") as registry:
        assert registry.last_version("other") == 1 and registry.last_version("long") == 2
        assert registry.aliases() == [DocumentAlias("other", "stable", 1)]
    messages = [r.getMessage() for r in caplog.records]
    assert "all other tables recovered, the file set aside in" in messages[0]
    assert any(m.endswith("other@1 is not served: its row cannot be read") for m in messages)
    (aside,) = path.parent.glob("*.damaged-*")
    assert (aside / FILE_NAME).exists() and database_faults(path) == []


def test_what_is_not_the_registrys_is_not_guessed(stores: dict[str, Path], tmp_path: Path) -> None:
    path = damaged_store(stores, tmp_path / "one", page_of=b"page 3 differs")
    before = path.read_bytes()
    with pytest.raises(SetupError, match=r"not in its documents alone.*the chain is broken.*backup"):
        make_database_sound(path, lambda _: ["ledger: the chain is broken"])
    assert path.read_bytes() == before and not list(path.parent.glob("*.damaged-*"))
    content = bytearray(before)
    begin = content.index(TENANT.encode()) // 4096 * 4096
    content[begin : begin + 4096] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"not in its documents alone.*tenants"):
        make_database_sound(path, lambda _: [])
    assert path.read_bytes() == content


def test_one_bit_in_the_log_does_not_undo_later_changes(stores: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(stores["killed"], tmp_path / "store")
    wal = folder / f"{FILE_NAME}-wal"
    content = bytearray(wal.read_bytes())
    content[content.index(text_of("other").encode()) + 77] ^= 4
    wal.write_bytes(content)
    entries, told, tenants = opened(folder)
    assert entries.keys() >= {ref for ref in ENTRIES if ref.id != "other"} and tenants == COUNT and told
    assert all(entry == ENTRIES[ref] for ref, entry in entries.items())


def test_a_replacement_that_was_killed_is_completed(stores: dict[str, Path], tmp_path: Path) -> None:
    path = damaged_store(stores, tmp_path / "store", page_of=b"page 3 differs")
    make_database_sound(path, lambda _: [])
    shutil.copy2(stores["closed"] / FILE_NAME, path.with_name(f"{FILE_NAME}.recovered"))
    entries, _, _ = opened(tmp_path / "store")
    assert entries == ENTRIES


def test_a_sound_database_is_left_as_it_is(stores: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(stores["closed"], tmp_path / "store")
    make_database_sound(folder / FILE_NAME, lambda _: ["it is not asked"])
    assert database_faults(folder / FILE_NAME) == []
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        assert db.execute("SELECT count(*) FROM document_versions").fetchone() == (len(ENTRIES),)
    make_database_sound(tmp_path / "none" / FILE_NAME, lambda _: [])
