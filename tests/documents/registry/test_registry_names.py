from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from kvproxy.core import DocumentRef, Kept, KeptPage
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.database.tables.document_tables import DOCUMENT_VERSIONS
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.documents.registry.registry_names import NamedDocuments

REF = DocumentRef("handbook", 1)


@pytest.fixture
def registry(a_database: Database, tmp_path: Path) -> Iterator[Registry]:
    migrate(a_database)
    registry = Registry(a_database, tmp_path)
    yield registry
    assert registry.check() == []


def document(version: int = 1, owner: str | None = None) -> Document:
    text, visibility = f"Edition {version}.", "public" if owner is None else "private"
    return Document("handbook", version, text, etag_of(text), visibility, owner or "tenant:a", 1_700_000_000)  # type: ignore[arg-type]  # a Literal by its value


def framing(fingerprint: str, name: str = "system") -> KeptFraming:
    kept = Kept(fingerprint, (1, 2, 3), (KeptPage(fingerprint[-1:].encode() * 32, 3),), 12, 0.5)
    return KeptFraming(name, kept)


def test_one_name_is_read_with_the_pages_of_one_engine(registry: Registry) -> None:
    assert registry.named("handbook") == NamedDocuments("handbook") and registry.states() == {}
    registry.publish(document(1), [framing("f1"), framing("f1", "user")])
    registry.replace_kept(REF, [framing("f2")], "f2")
    registry.publish(document(2), [framing("f1")])
    registry.publish(document(1, "tenant:b"), [])
    registry.set_alias("handbook", "stable", 1)
    found = registry.named("handbook", "f1")
    assert [entry.document for entry in found.entries] == [document(1), document(2)]
    assert [len(entry.framings) for entry in found.entries] == [2, 1] and found.aliases == (("stable", 1),)
    assert [f.kept.fingerprint for f in registry.named("handbook", "f2").entries[0].framings] == ["f2"]
    assert len(registry.named("handbook").entries[0].framings) == 3
    assert registry.states("f1") == {
        name: registry.named(name, "f1").state for name in ("handbook", "handbook\ntenant:b")
    }


def test_a_states_digest_changes_with_all_that_is_followed(registry: Registry) -> None:
    registry.publish(document(1), [framing("f1")])
    seen = [registry.states("f1")["handbook"]]
    changes: list[Callable[[], object]] = [
        lambda: registry.pin(REF, True),
        lambda: registry.quarantine(REF, "page 1 differs"),
        lambda: registry.touch(REF, 1_800_000_000),
        lambda: registry.set_alias("handbook", "stable", 1),
        lambda: registry.replace_kept(REF, [framing("f1", "user")], "f1"),
        lambda: registry.publish(document(2), []),
        lambda: registry.revoke(REF, "wrong"),
        lambda: registry.delete([REF]),
    ]
    for change in changes:
        change()
        seen.append(registry.states("f1")["handbook"])
    assert len(set(seen)) == len(seen)
    registry.replace_kept(DocumentRef("handbook", 2), [framing("f2")], "f2")
    assert registry.states("f1")["handbook"] == seen[-1], "another engine's pages are nothing to this one"


def test_engines_do_not_overwrite_each_others_records(registry: Registry) -> None:
    registry.publish(document(1), [framing("f1")])
    registry.replace_kept(REF, [framing("f2")], "f2")
    registry.replace_kept(REF, [framing("f2"), framing("f2", "user")], "f2")
    assert registry.load("f1")[0].framings == (framing("f1"),)
    assert len(registry.load("f2")[0].framings) == 2 and len(registry.load()[0].framings) == 3
    assert len(registry.page_owners("f1")) == len(registry.page_owners("f2")) == 1
    assert len(registry.page_owners()) == 2
    registry.replace_kept(REF, [], "f2")
    assert registry.load("f2")[0].framings == () and len(registry.load("f1")[0].framings) == 1
    registry.replace_kept(DocumentRef("handbook", 9), [framing("f1")], "f1")  # gone meanwhile: no error
    registry.delete([REF])
    assert registry.page_owners() == {}


def test_damaged_rows_are_left_out(a_database: Database, tmp_path: Path) -> None:
    migrate(a_database)
    registry = Registry(a_database, tmp_path)
    registry.publish(document(1), [framing("f1")])
    with a_database.transaction() as db:
        db.execute(update(DOCUMENT_VERSIONS).values(pinned=1))
    assert registry.named("handbook").entries == ()
