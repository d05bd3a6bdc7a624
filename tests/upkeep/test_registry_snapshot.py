from __future__ import annotations

from pathlib import Path

from kvproxy.upkeep.registry_snapshot import RegistrySnapshot, read_file_snapshot, read_snapshot
from tests.store.killed_worker import stored_keys
from tests.upkeep.filled_store import FilledStore


def test_a_snapshot_has_all_that_is_sound_and_who_needs_which_page(tmp_path: Path) -> None:
    store = FilledStore.make(tmp_path / "kv")
    found = read_file_snapshot(store.folder / "kvproxy.sqlite3")
    assert len(found.entries) == 8 and found.faults == () and found.broken == ()
    assert [(a.name, a.alias, a.version) for a in found.aliases] == [("doc0", "stable", 2)]
    owners = found.page_owners
    assert len(owners) == 24 and {owners[key] for key in stored_keys("doc1", 2)} == {"doc1@2"}
    with store.open() as (_, registry):
        assert registry.snapshot(read_snapshot) == found
        assert registry.page_owners().keys() == owners.keys()


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_file_snapshot(tmp_path / "kvproxy.sqlite3") == RegistrySnapshot()


def test_a_file_that_is_no_database_has_no_rows_and_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "kvproxy.sqlite3"
    path.write_bytes(b"no database" * 1000)
    found = read_file_snapshot(path)
    assert found.entries == () and found.broken
