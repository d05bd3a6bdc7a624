"""Damage to the database's files: only published texts are known, and nothing beside them is ever guessed."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DatabaseError

from kvproxy.core import DocumentRef
from kvproxy.database.database import FILE_NAME
from kvproxy.database.tables.account_tables import TENANTS
from kvproxy.documents.registry.registry_entry import DocumentAlias, RegistryEntry
from kvproxy.documents.registry.registry_rescue import DatabaseFaults, database_faults, make_database_sound
from kvproxy.errors import SetupError
from kvproxy.telemetry.usage.document_use import DocumentUse
from kvproxy.telemetry.usage.usage_records import UsageRecords
from kvproxy.telemetry.usage.usage_store import DocumentKey, UsageKey
from kvproxy.telemetry.usage.usage_sums import UsageSums
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
LEAF = 13
"""The first byte of a page of a table's rows in SQLite."""
TODAY = 20_000
SUMS = UsageSums(requests=3, hits=2, misses=1, prompt_tokens=3_000, cached_tokens=1_800, saved_us=900_000)
USE = DocumentUse(reads=2, misses=1, cached_tokens=1_600, last_read=1_728_000_000, saved_us=800_000)
OF_TENANTS = [f"asks {number:02} " + "n" * 100 for number in range(40)]
OF_READERS = [f"reads {number:02} " + "n" * 100 for number in range(40)]
"""Tenants of the figures of each table: several pages of rows."""


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
    assert (aside / FILE_NAME).exists() and database_faults(path) == DatabaseFaults()


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
    assert database_faults(folder / FILE_NAME) == DatabaseFaults()
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        assert db.execute("SELECT count(*) FROM document_versions").fetchone() == (len(ENTRIES),)
    make_database_sound(tmp_path / "none" / FILE_NAME, lambda _: [])


@pytest.fixture(scope="module")
def used(stores: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store whose documents were read."""
    folder = shutil.copytree(stores["closed"], tmp_path_factory.mktemp("used") / "store")
    with OwnRegistry(folder) as registry:
        UsageRecords(registry.database).add(
            {UsageKey(name, TODAY, "small", ""): SUMS for name in OF_TENANTS},
            {DocumentKey(ref.name, 1, name, TODAY, ""): USE for ref in ENTRIES for name in OF_READERS},
        )
    return folder


def with_damaged_figures(used: Path, folder: Path, *tables: str) -> Path:
    """A store that has lost the page of the text of ``other@1``, and the last page of rows of each table."""
    path = shutil.copytree(used, folder) / FILE_NAME
    content = bytearray(path.read_bytes())
    lost = {content.index(text_of("other").encode()) // 4096}
    for table in tables:
        last = {"usage_days": OF_TENANTS, "document_days": OF_READERS}[table][-1].encode()
        pages = [at for at in range(0, len(content), 4096) if content[at] == LEAF]
        lost.add(max(at // 4096 for at in pages if last in content[at : at + 4096]))
    assert len(lost) == 1 + len(tables)
    for page in lost:
        content[page * 4096 : (page + 1) * 4096] = bytes(4096)
    path.write_bytes(content)
    return path


def recorded(folder: Path) -> tuple[int, dict[str, int]]:
    """The number of tenants that have sums, and the number of readers by document; all as they were written."""
    with OwnRegistry(folder) as registry:
        records = UsageRecords(registry.database)
        found = [records.recorded(name, TODAY) for name in OF_TENANTS]
        uses = [use for name in OF_READERS for use in records.document_uses(list(ENTRIES), name).items()]
    known = [one for one in found if one.total.requests]
    assert all(one.total == one.today == SUMS for one in known) and all(use == USE for _, use in uses)
    return len(known), dict(Counter(ref.id for ref, _ in uses))


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


SERVED = {"short": len(OF_READERS), "long": len(OF_READERS), "private": len(OF_READERS)}
"""Readers of the documents that are left without ``other``."""


@pytest.mark.parametrize(
    ("damaged", "tenants", "readers"),
    [
        ((), len(OF_TENANTS), SERVED),
        (("usage_days",), 0, SERVED),
        (("document_days",), len(OF_TENANTS), {}),
        (("usage_days", "document_days"), 0, {}),
    ],
    ids=str,
)
def test_damaged_figures_begin_anew_and_all_else_is_recovered(
    used: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damaged: tuple[str, ...],
    tenants: int,
    readers: dict[str, int],
) -> None:
    path = with_damaged_figures(used, tmp_path / "store", *damaged)
    entries, told, all_tenants = opened(path.parent)
    assert entries == {ref: entry for ref, entry in ENTRIES.items() if ref.id != "other"} and told
    assert all_tenants == COUNT
    assert recorded(path.parent) == (tenants, readers), "no table is left half"
    for name in ("usage_days", "document_days"):
        told_anew = f"the figures of {name} are damaged and begin anew" in caplog.text
        assert told_anew is (name in damaged)
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    with OwnRegistry(path.parent) as registry:
        key = UsageKey("new", TODAY, "small", "")
        read = DocumentKey("short", 1, "new", TODAY, "")
        UsageRecords(registry.database).add({key: SUMS}, {read: USE})
        assert UsageRecords(registry.database).recorded("new", TODAY).total == SUMS
        assert registry.aliases() == [DocumentAlias("other", "stable", 1)]


def test_figures_of_a_version_that_was_lost_are_dropped(used: Path, tmp_path: Path) -> None:
    names = "SELECT DISTINCT name FROM document_days ORDER BY name"
    every = sorted(ref.name for ref in ENTRIES)
    assert rows(used / FILE_NAME, names) == [(name,) for name in every]
    path = with_damaged_figures(used, tmp_path / "store")
    make_database_sound(path, lambda _: [])
    assert rows(path, names) == [(name,) for name in every if name != "other"]
    assert rows(path, "PRAGMA foreign_key_check(document_days)") == []
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.is_dir() and (aside / FILE_NAME).exists(), "what was dropped is set aside"


def test_figures_are_no_reason_to_refuse_a_start_and_other_tables_are(used: Path, tmp_path: Path) -> None:
    """The damage of the figures is the same, and so is the other's: in a row of its own page."""
    path = with_damaged_figures(used, tmp_path / "store", "usage_days", "document_days")
    content = bytearray(path.read_bytes())
    begin = content.index(TENANT.encode()) // 4096 * 4096
    content[begin : begin + 4096] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"not in its documents alone \(tenants") as refused:
        make_database_sound(path, lambda _: [])
    assert "_days" not in str(refused.value) and path.read_bytes() == content
