"""Rules of the documents' tables that the database itself keeps, on each kind of database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.document_tables import (
    DOCUMENT_ALIASES,
    DOCUMENT_MANIFESTS,
    DOCUMENT_PAGES,
    DOCUMENT_READS,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
    DOCUMENTS,
)

NAME: dict[str, Any] = {"name": "handbook", "last_version": 2, "digest": b"d"}
VERSION: dict[str, Any] = {
    **{"name": "handbook", "version": 1, "etag": "e", "visibility": "public", "owner_scope": "tenant:a"},
    **{"created": 2**40, "origin": "published", "pinned": 0, "digest": b"d"},
}
OF_ONE: dict[str, Any] = {"name": "handbook", "version": 1}
TEXT: dict[str, Any] = {**OF_ONE, "text": b"t"}
PAGES: dict[str, Any] = {
    **{**OF_ONE, "framing": "system", "fingerprint": "f", "token_ids": b"", "pages": b""},
    **{"bytes": 2**40, "prefill_s": 0.5, "digest": b"d"},
}
ALIAS: dict[str, Any] = {"name": "handbook", "alias": "stable", "version": 9, "digest": b"d"}
MANIFEST: dict[str, Any] = {**OF_ONE, "jws": "a.b.c", "digest": b"d"}
READS: dict[str, Any] = {**OF_ONE, "reads": 1, "last_read": 2**40, "saved_tokens": 2**40, "digest": b"d"}
ROWS: tuple[tuple[Table, dict[str, Any]], ...] = (
    *((DOCUMENTS, NAME), (DOCUMENT_VERSIONS, VERSION), (DOCUMENT_TEXTS, TEXT), (DOCUMENT_PAGES, PAGES)),
    *((DOCUMENT_ALIASES, ALIAS), (DOCUMENT_MANIFESTS, MANIFEST), (DOCUMENT_READS, READS)),
)


@pytest.fixture
def filled(a_database: Database) -> Database:
    METADATA.create_all(a_database.engine)
    with a_database.transaction() as db:
        for table, row in ROWS:
            db.execute(insert(table).values(row))
    return a_database


def sizes(database: Database) -> dict[str, int]:
    with database.transaction() as db:
        return {t.name: db.execute(select(func.count()).select_from(t)).scalar_one() for t, _ in ROWS}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (DOCUMENTS, NAME),  # the same name again
        (DOCUMENT_VERSIONS, VERSION),
        (DOCUMENT_VERSIONS, {**VERSION, "version": 0}),
        (DOCUMENT_VERSIONS, {**VERSION, "version": 2, "visibility": "secret"}),
        (DOCUMENT_VERSIONS, {**VERSION, "version": 2, "origin": "found"}),
        (DOCUMENT_VERSIONS, {**VERSION, "version": 2, "digest": None}),
        (DOCUMENT_VERSIONS, {**VERSION, "name": "unnamed"}),
        *((table, {**row, "version": 2}) for table, row in ROWS[2:4] + ROWS[5:]),  # of no version
        (DOCUMENT_PAGES, PAGES),
        (DOCUMENT_ALIASES, {**ALIAS, "version": 1}),  # an alias means one version
        (DOCUMENT_ALIASES, {**ALIAS, "name": "unnamed"}),
    ],
)
def test_the_database_itself_refuses_what_cannot_be(
    filled: Database, table: Table, row: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError), filled.transaction() as db:
        db.execute(insert(table).values(row))
    assert set(sizes(filled).values()) == {1}


def test_a_deleted_version_takes_its_rows_and_leaves_its_number(filled: Database) -> None:
    with filled.transaction() as db:
        db.execute(insert(DOCUMENT_VERSIONS).values({**VERSION, "version": 2}))
        db.execute(insert(DOCUMENT_TEXTS).values({**TEXT, "version": 2}))
        db.execute(delete(DOCUMENT_VERSIONS).where(DOCUMENT_VERSIONS.c.version == 1))
        assert db.execute(select(DOCUMENT_TEXTS.c.version)).scalars().all() == [2]
        assert db.execute(select(DOCUMENTS.c.last_version)).scalar_one() == 2
    gone = {"document_pages", "document_manifests", "document_reads"}
    assert sizes(filled) == {table.name: int(table.name not in gone) for table, _ in ROWS}


def test_a_name_with_versions_stays(filled: Database) -> None:
    with pytest.raises(IntegrityError), filled.transaction() as db:
        db.execute(delete(DOCUMENTS))
    assert sizes(filled)["documents"] == 1
