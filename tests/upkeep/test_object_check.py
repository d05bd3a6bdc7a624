"""The pages of documents in an object store: listed, and read whole where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_results import ObjectsUnavailable
from kvproxy.objects.object_store import ObjectStore
from kvproxy.upkeep.object_check import check_objects
from kvproxy.upkeep.registry_snapshot import RegistrySnapshot, read_file_snapshot
from kvproxy.upkeep.store_faults import StorePart
from tests.store.killed_worker import FINGERPRINT, stored_keys
from tests.upkeep.filled_store import FilledStore

KEYS = stored_keys("doc1", 1)


@pytest.fixture
def objects(tmp_path: Path) -> tuple[ObjectStore, RegistrySnapshot, Path]:
    """A folder as an object store, with all pages of one version."""
    store = FilledStore.make(tmp_path / "kv")
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    opened = ObjectStore(ObjectAddress(f"file://{bucket}"))
    pages = ObjectPages(opened, FINGERPRINT)
    with store.open() as (local, _):
        for key in KEYS:
            content = local.read_file(key)
            assert content is not None
            pages.write(key, content)
    return opened, read_file_snapshot(store.folder / "kvproxy.sqlite3"), bucket


def test_what_is_not_there_yet_is_a_note(objects: tuple[ObjectStore, RegistrySnapshot, Path]) -> None:
    store, registry, _ = objects
    found = check_objects(store, registry, deep=True)
    assert found.sound and found.notes == ("21 pages are not in the object store yet",)
    assert found.looked == {"objects": 3, "objects read": 3}
    assert check_objects(store, registry, deep=False).looked["objects read"] == 0


def test_a_damaged_object_is_found_by_reading_it(
    objects: tuple[ObjectStore, RegistrySnapshot, Path],
) -> None:
    store, registry, bucket = objects
    paths = sorted(bucket.rglob("*.page"))
    data = bytearray(paths[0].read_bytes())
    data[-1] ^= 1
    paths[0].write_bytes(data)
    paths[1].write_bytes(paths[2].read_bytes())
    assert check_objects(store, registry, deep=False).sound
    found = check_objects(store, registry, deep=True)
    assert {fault.part for fault in found.faults} == {StorePart.OBJECTS} and len(found.faults) == 2
    assert found.bad_pages == (), "no local page is dropped for it"


def test_a_store_that_does_not_answer_is_a_note(
    objects: tuple[ObjectStore, RegistrySnapshot, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, registry, _ = objects

    def silent(prefix: str) -> object:
        raise ObjectsUnavailable("no answer", "no answer", retry_after_s=1)

    monkeypatch.setattr(store, "names", silent)
    found = check_objects(store, registry, deep=True)
    assert found.sound and "does not answer" in found.notes[0]
