from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.core import DocumentRef, Kept, KeptPage, stored_key
from kvproxy.documents.library import registry_rescue
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.documents.library.registry import KeptFraming, Registry, RegistryEntry
from kvproxy.errors import SetupError, StorageFull


def document(id: str = "handbook", version: int = 1, text: str = "a\x00 世界 \U0001f600") -> Document:
    return Document(id, version, text, etag_of(text), "public", "tenant:a", 1_700_000_000)


def framing(name: str = "system", seed: int = 0, tokens: int = 300) -> KeptFraming:
    keys = [bytes([seed, i]) * 16 for i in range(2)]
    pages = (KeptPage(keys[0], 256), KeptPage(keys[1], tokens - 256))
    return KeptFraming(name, Kept("print", tuple(range(seed, seed + tokens)), pages, 12345, 1.5))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "documents.sqlite"


@pytest.fixture
def registry(path: Path) -> Iterator[Registry]:
    with Registry(path) as registry:
        yield registry
        assert registry.check() == []


def test_published_versions_come_back_after_a_restart(path: Path, registry: Registry) -> None:
    registry.publish(document(), [framing("user", 1), framing("system", 2)])
    registry.publish(document(version=2, text="other"), [])
    with Registry(path) as again:
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


def test_a_quarantine_lasts_until_it_is_lifted(path: Path, registry: Registry) -> None:
    registry.publish(document(), [framing()])
    registry.quarantine(document().ref, "page 3 differs")
    registry.quarantine(document().ref, "page 1 differs")
    with Registry(path) as again:
        assert [entry.quarantined for entry in again.load()] == ["page 1 differs"]
        again.quarantine(document().ref, None)
    assert [entry.quarantined for entry in registry.load()] == [None]
    registry.quarantine(document().ref, "again")
    registry.delete([document().ref])
    registry.publish(document(version=2), [])
    assert [entry.quarantined for entry in registry.load()] == [None]


def test_kept_framings_are_replaced_together(registry: Registry) -> None:
    registry.publish(document(), [framing("system", 1), framing("user", 2)])
    registry.replace_kept(document().ref, [framing("system", 3)])
    assert registry.load() == [RegistryEntry(document(), (framing("system", 3),))]


def test_a_failed_publish_leaves_nothing(registry: Registry) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        registry.publish(document(), [framing("system"), framing("system")])
    assert registry.load() == [] and registry.last_version("handbook") == 0
    registry.publish(document(), [framing()])
    with pytest.raises(sqlite3.IntegrityError):
        registry.publish(document(), [])
    assert len(registry.load()) == 1


def test_a_full_disk_is_named(path: Path, registry: Registry) -> None:
    registry.limit_pages(20)
    with pytest.raises(StorageFull) as caught:
        registry.publish(document(text="x" * 500_000), [framing()])
    assert caught.value.retry_after_s == 60
    registry.publish(document(text="small"), [framing()])
    assert len(registry.load()) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from kvproxy.documents.library.registry import Registry
from tests.documents.library.test_registry import document, framing

registry = Registry(Path(sys.argv[1]))
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
    with Registry(path) as registry:
        assert registry.load() == [RegistryEntry(document(), (framing(),))]
        assert registry.page_keys() == {p.key for p in framing().kept.pages}
        registry.publish(document(version=2, text="half"), [framing("system", 5)])
        assert registry.check() == []


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE versions SET text = x'00'", "does not match its ETag"),
        (
            "UPDATE versions SET visibility = 'private'",
            "handbook@1 is not served: a column differs from the row as written",
        ),
        ("UPDATE versions SET version = 9; UPDATE kept SET version = 9", "handbook@9 is not served"),
        ("DELETE FROM versions", "handbook@1 is not served: its text cannot be read"),
        ("UPDATE kept SET pages = x'00'", "handbook@1 (system) is prefilled again"),
        ("UPDATE pinned SET version = 2", "handbook has lost a row in ids or pinned"),
    ],
)
def test_check_names_every_fault(path: Path, damage: str, fault: str) -> None:
    with Registry(path) as registry:
        registry.publish(document(), [framing()])
        registry.pin(document().ref, True)
        assert registry.check() == []
    other = sqlite3.connect(path)
    other.executescript(damage)
    other.close()
    assert registry_rescue.faults(path) != []
    with Registry(path) as registry:
        found = registry.check()
        assert any(fault in line for line in found), found


def test_the_database_files_are_private(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    with Registry(path) as registry:
        registry.publish(document(), [])
        assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_file_that_is_no_registry(tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    db = sqlite3.connect(newer)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SetupError, match="schema 99"):
        Registry(newer)
    (tmp_path / "file").touch()
    with pytest.raises(SetupError):
        Registry(tmp_path / "file" / "below")
