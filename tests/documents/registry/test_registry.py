from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy.exc import TimeoutError

from kvproxy.core import DocumentRef, Kept, KeptPage, stored_key
from kvproxy.database.database import FILE_NAME, Database
from kvproxy.database.migrate import migrate
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.documents.registry.open_registry import open_registry
from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.registry.registry_entry import DocumentAlias, KeptFraming, RegistryEntry
from kvproxy.errors import SetupError, StorageFull, Unavailable
from tests.documents.registry.own_registry import OwnRegistry


def document(id: str = "handbook", version: int = 1, text: str = "a\x00 世界 \U0001f600") -> Document:
    return Document(id, version, text, etag_of(text), "public", "tenant:a", 1_700_000_000)


def framing(name: str = "system", seed: int = 0, tokens: int = 300) -> KeptFraming:
    keys = [bytes([seed, i]) * 16 for i in range(2)]
    pages = (KeptPage(keys[0], 256), KeptPage(keys[1], tokens - 256))
    return KeptFraming(name, Kept("print", tuple(range(seed, seed + tokens)), pages, 12345, 1.5))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def registry(a_database: Database, path: Path) -> Iterator[Registry]:
    """On each kind of database."""
    path.mkdir(exist_ok=True)
    migrate(a_database)
    registry = open_registry(a_database, path)
    yield registry
    assert registry.check() == []


@pytest.fixture
def own(path: Path) -> Iterator[OwnRegistry]:
    """On the store's own database."""
    with OwnRegistry(path) as registry:
        yield registry
        assert registry.check() == []


def test_published_versions_come_back_after_a_restart(registry: Registry, a_database: Database) -> None:
    registry.publish(document(), [framing("user", 1), framing("system", 2)])
    registry.publish(document(version=2, text="other"), [])
    again = open_registry(a_database, registry.folder)
    assert again.load() == [
        RegistryEntry(document(), (framing("system", 2), framing("user", 1))),
        RegistryEntry(document(version=2, text="other"), ()),
    ]
    assert again.page_keys() == {p.key for s in (1, 2) for p in framing(seed=s).kept.pages}


def test_version_numbers_are_never_used_again(registry: Registry) -> None:
    assert registry.last_version("handbook") == 0
    registry.publish(document(version=3), [framing()])
    registry.delete([DocumentRef("handbook", 3)])
    assert registry.load() == [] and registry.page_keys() == frozenset()
    assert registry.last_version("handbook") == 3


def test_numbers_of_granted_versions_are_told_to_nobody_who_publishes_privately(registry: Registry) -> None:
    registry.publish(replace(document(version=3), visibility="granted"), [framing()])
    for visibility, owner, last in (
        ("private", "tenant:b", 0),
        ("private", "tenant:a", 3),
        ("granted", "tenant:a", 3),
        ("granted", "tenant:b", 3),
        ("public", "tenant:b", 3),
    ):
        assert registry.last_version("handbook", owner, visibility) == last, (visibility, owner)  # type: ignore[arg-type]  # each is one


def test_pages_of_a_granted_version_count_for_its_publisher(registry: Registry) -> None:
    granted = replace(document(), visibility="granted")
    registry.publish(granted, [framing()])
    keys = [stored_key(page.key, granted.scope) for page in framing().kept.pages]
    assert registry.page_owners() == dict.fromkeys(keys, "tenant:a")
    registry.delete([granted.ref])
    assert registry.page_owners() == {}


def test_a_quarantine_lasts_until_it_is_lifted(registry: Registry) -> None:
    registry.publish(document(), [framing()])
    registry.quarantine(document().ref, "page 3 differs")
    registry.quarantine(document().ref, "page 1 differs")
    assert [entry.quarantined for entry in registry.load()] == ["page 1 differs"]
    registry.quarantine(document().ref, None)
    assert [entry.quarantined for entry in registry.load()] == [None]
    registry.quarantine(document().ref, "again")
    registry.delete([document().ref])
    registry.publish(document(version=2), [])
    assert [entry.quarantined for entry in registry.load()] == [None]


def test_a_database_with_no_connection_free_is_away(
    registry: Registry, a_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> NoReturn:
        raise TimeoutError("QueuePool limit reached")

    with monkeypatch.context() as patch:
        patch.setattr(a_database.engine, "connect", full)
        with pytest.raises(Unavailable, match="busy") as refused:
            registry.states()
    assert refused.value.retry_after_s


def test_kept_framings_are_replaced_together(registry: Registry) -> None:
    registry.publish(document(), [framing("system", 1), framing("user", 2)])
    registry.replace_kept(document().ref, [framing("system", 3)])
    assert registry.load() == [RegistryEntry(document(), (framing("system", 3),))]


def test_a_failed_publish_leaves_nothing(registry: Registry) -> None:
    with pytest.raises(Unavailable):
        registry.publish(document(), [framing("system"), framing("system")])
    assert registry.load() == [] and registry.last_version("handbook") == 0
    registry.publish(document(), [framing()])
    with pytest.raises(Unavailable, match="another process"):
        registry.publish(document(), [])
    assert len(registry.load()) == 1


def test_a_pin_goes_on_to_the_version_that_takes_its_place(registry: Registry) -> None:
    registry.publish(document(), [], pinned=True)
    registry.publish(document(version=2, text="other"), [], pinned=True, unpinned=document().ref)
    assert [entry.pinned for entry in registry.load()] == [False, True]
    registry.pin(DocumentRef("handbook", 2), False)
    registry.pin(DocumentRef("handbook", 7), True)  # a version that there is not, and no error
    assert [entry.pinned for entry in registry.load()] == [False, False]


def test_a_revoked_version_stays_with_its_reason_until_it_is_deleted(registry: Registry) -> None:
    registry.publish(document(), [framing()], pinned=True)
    registry.revoke(document().ref, "withdrawn by legal")
    assert registry.load() == [RegistryEntry(document(), (), revoked="withdrawn by legal")]
    registry.delete([document().ref])
    assert registry.load() == [] and registry.last_version("handbook") == 1


def test_a_version_is_touched(registry: Registry) -> None:
    registry.publish(replace(document(), expires=2_000_000_000, origin="imported"), [])
    registry.publish(replace(document(version=2), expires=5), [])
    registry.touch(DocumentRef("handbook", 1), 3_000_000_000)
    registry.touch(DocumentRef("handbook", 2), None)
    assert [(e.document.origin, e.document.expires) for e in registry.load()] == [
        ("imported", 3_000_000_000),
        ("published", None),
    ]


def test_a_full_disk_is_named(path: Path, own: OwnRegistry) -> None:
    own.limit_pages(200)
    with pytest.raises(StorageFull) as caught:
        own.publish(document(text="x" * 1_000_000), [framing()])
    assert caught.value.retry_after_s == 60
    own.publish(document(text="small"), [framing()])
    assert len(own.load()) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.documents.registry.own_registry import OwnRegistry
from tests.documents.registry.test_registry import document, framing

registry = OwnRegistry(Path(sys.argv[1]))
registry.publish(document(), [framing()])

class Killing(tuple):
    def __iter__(self):
        yield framing("system", 5)
        os.kill(os.getpid(), signal.SIGKILL)

registry.publish(document(version=2, text="half"), Killing())
"""


def test_killed_in_the_middle_nothing_half_is_visible(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=os.getcwd(), check=False)
    assert done.returncode == -signal.SIGKILL
    with OwnRegistry(path) as registry:
        assert registry.load() == [RegistryEntry(document(), (framing(),))]
        assert registry.page_keys() == {p.key for p in framing().kept.pages}
        registry.publish(document(version=2, text="half"), [framing("system", 5)])
        assert registry.check() == []


@pytest.mark.parametrize(
    ("damage", "fault", "versions"),
    [
        ("UPDATE document_texts SET text = x'00'", "handbook@1 is not served: the text does not match", 0),
        ("DELETE FROM document_texts", "handbook@1 is not served: its text cannot be read", 0),
        (
            "UPDATE document_versions SET visibility = 'private'",
            "handbook@1 is not served: a column differs",
            0,
        ),
        ("UPDATE document_versions SET etag = 'é'", "handbook@1 is not served: a column differs", 0),
        (
            "UPDATE document_versions SET etag = CAST(x'ff' AS TEXT)",
            "handbook@1 is not served: a column differs",
            0,
        ),
        ("UPDATE document_versions SET revoked = NULL", "handbook@1 is not served: a column differs", 0),
        ("UPDATE document_pages SET pages = x'00'", "handbook@1 (system) is prefilled again", 1),
        ("UPDATE documents SET last_version = 0", "handbook has lost its row in documents", 1),
        (
            "UPDATE document_aliases SET version = 2",
            "handbook@stable has lost its row in document_aliases",
            1,
        ),
        ("UPDATE document_manifests SET jws = 'x'", "handbook@1 has lost its row in document_manifests", 1),
    ],
)
def test_every_damaged_row_is_named_and_never_served(
    path: Path, damage: str, fault: str, versions: int, caplog: pytest.LogCaptureFixture
) -> None:
    with OwnRegistry(path) as registry:
        registry.publish(document(), [framing()], pinned=True)
        registry.put_manifest(document().ref, "a.b.c")
        registry.set_alias("handbook", "stable", 1)
        if "revoked" in damage:
            registry.revoke(document().ref, "withdrawn")
        assert registry.check() == []
    with closing(sqlite3.connect(path / FILE_NAME)) as other:
        other.executescript(f"PRAGMA foreign_keys = OFF; {damage}")
    with OwnRegistry(path) as registry:
        assert any(fault in line for line in registry.check()), registry.check()
        entries = registry.load()
        assert len(entries) == versions and all(e.document == document() for e in entries)
        assert registry.last_version("handbook") == 1
        assert registry.aliases() == ([] if "aliases" in damage else [DocumentAlias("handbook", "stable", 1)])
        if versions:
            assert registry.manifest(document().ref) == (None if "manifests" in damage else "a.b.c")
        assert [r.getMessage() for r in caplog.records if fault in r.getMessage()], "logged, a line each"
        assert any(fault in line for line in registry.damage_reports())
        (aside,) = path.glob("documents.damaged-*")
        assert all(json.loads(line)["row"] for line in (aside / "rows.jsonl").read_text().splitlines())
        caplog.clear()
        assert registry.load() == entries and caplog.records == [], "said once"
        assert [line.partition(":")[0] for line in registry.check()] == ["registry"] * len(
            registry.damage_reports()
        )


def test_a_row_that_was_damaged_since_the_start_is_not_sealed_again(own: OwnRegistry, path: Path) -> None:
    own.publish(document(), [])
    with closing(sqlite3.connect(path / FILE_NAME)) as other, other:
        other.execute("UPDATE document_versions SET created = 7")
    with pytest.raises(Unavailable, match="handbook@1 is damaged"):
        own.pin(document().ref, True)
    assert own.load() == []
    for aside in path.glob("documents.damaged-*"):
        for file in aside.iterdir():
            file.unlink()
        aside.rmdir()


def test_the_database_files_are_private(path: Path) -> None:
    path.mkdir(mode=0o755)
    with OwnRegistry(path) as registry:
        registry.publish(document(), [])
        assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}


def test_each_publishers_loss_is_a_line_of_its_own(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with OwnRegistry(path) as registry:
        for owner in ("tenant:a", "tenant:b", "tenant:c"):
            private = replace(document("private"), visibility="private", owner_scope=owner)
            registry.publish(private, [framing()])
    with closing(sqlite3.connect(path / FILE_NAME)) as db, db:
        db.execute("UPDATE document_versions SET created = 7 WHERE owner_scope <> 'tenant:c'")
        db.execute("UPDATE document_pages SET bytes = 7 WHERE name LIKE '%tenant:c'")
    caplog.set_level(logging.ERROR)
    with OwnRegistry(path) as registry:
        (entry,) = registry.load()
    assert (entry.document.ref.owner, entry.framings) == ("tenant:c", ())
    reason = "a column differs from the row as written"
    assert [r.getMessage().partition(": ")[2] for r in caplog.records[1:]] == [
        f"private@1 of tenant:a is not served: {reason}",
        f"private@1 of tenant:b is not served: {reason}",
        f"private@1 of tenant:c (system) is prefilled again: {reason}",
    ]


def test_a_newer_old_registry_is_refused(path: Path) -> None:
    path.mkdir()
    with closing(sqlite3.connect(path / "documents.sqlite3")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(SetupError, match="schema 99"):
        OwnRegistry(path)


def test_only_what_has_expired_is_ended_and_deleted(registry: Registry) -> None:
    first, second, third = (document(version=number) for number in (1, 2, 3))
    for one in (first, second):
        registry.publish(one, [framing(seed=one.version)], pinned=True)
        registry.touch(one.ref, 100)
    registry.touch(second.ref, 200)  # by another process
    assert registry.end(first.ref, 150.0)
    assert not registry.end(second.ref, 150.0) and not registry.end(third.ref, 150.0)
    assert [(e.pinned, len(e.framings)) for e in registry.load()] == [(False, 0), (True, 1)]
    assert registry.delete_expired([first.ref, second.ref, third.ref], 150.0) == [second.ref]
    assert [entry.document.ref for entry in registry.load()] == [second.ref]


def test_pages_that_are_computed_while_another_process_revokes_have_no_owner(registry: Registry) -> None:
    registry.publish(document(), [framing()])
    registry.revoke(document().ref, "wrong")
    registry.replace_kept(document().ref, [framing()], "print")
    assert registry.page_keys() == frozenset()
