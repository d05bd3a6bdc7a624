from __future__ import annotations

import threading
from importlib.resources import files
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text

from kvproxy.database import tables
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.migrate import migrate, migration_config, revisions, schema_state
from kvproxy.database.tables.account_tables import TENANTS
from kvproxy.errors import SetupError

assert tables.__all__


def test_the_migrated_schema_is_metadatas(a_database: Database) -> None:
    migrate(a_database)
    with a_database.transaction() as db:
        # SQLite gives defaults back in other words; the next test compares its statements.
        compared = {"compare_type": True, "compare_server_default": not a_database.is_sqlite}
        context = MigrationContext.configure(db, opts=compared)
        assert compare_metadata(context, METADATA) == []


def test_checks_and_keys_are_metadatas_too(tmp_path: Path) -> None:
    """Alembic compares no check constraints. SQLite keeps the statements that made its tables."""

    def statements(database: Database) -> dict[str, set[str]]:
        with database.snapshot() as db:
            rows = db.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
            return {n: {line.strip(" ,\t") for line in sql.splitlines()} for n, sql in rows}

    with Database.open(None, tmp_path / "a") as migrated, Database.open(None, tmp_path / "b") as made:
        migrate(migrated)
        METADATA.create_all(made.engine)
        found = statements(migrated)
        del found["alembic_version"]
        assert found == statements(made)


def test_the_names_of_the_files_are_the_revisions() -> None:
    scripts = ScriptDirectory.from_config(migration_config())
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(revisions())
    assert scripts.get_current_head() == revisions()[-1]


def test_a_second_migration_has_nothing_to_do(a_database: Database) -> None:
    assert schema_state(a_database).current is None
    first = migrate(a_database)
    assert first.before is None and first.changed
    second = migrate(a_database)
    assert second.before == second.after == first.after and not second.changed
    assert schema_state(a_database).up_to_date


def test_a_newer_database_is_refused_and_stays_as_it_is(a_database: Database) -> None:
    migrate(a_database)
    with a_database.transaction() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for attempt in (migrate, schema_state):
        with pytest.raises(SetupError, match=r"schema 9999.*newer version"):
            attempt(a_database)
    with a_database.snapshot() as db:
        assert db.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_a_migration_that_fails_leaves_nothing(a_database: Database) -> None:
    with a_database.transaction() as db:
        db.execute(text("CREATE TABLE grant_uses (other INTEGER)"))  # in the way of the last table
    with pytest.raises(SetupError, match=r"the database cannot be used: .*grant_uses"):
        migrate(a_database)
    assert schema_state(a_database).current is None
    with a_database.transaction() as db:
        db.execute(text("DROP TABLE grant_uses"))
    assert migrate(a_database).changed


def test_migrations_that_start_together_wait_for_each_other(database_url: str | None, tmp_path: Path) -> None:
    results: list[bool] = []

    def start() -> None:
        with Database.open(database_url, tmp_path) as database:
            results.append(migrate(database).changed)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]


def test_a_server_that_is_not_there_is_a_setup_error(tmp_path: Path) -> None:
    with (
        Database.open("postgresql+psycopg://kvproxy@127.0.0.1:1/kvproxy", tmp_path) as database,
        pytest.raises(SetupError, match=r"the database cannot be used: .*database\.url"),
    ):
        migrate(database)


def test_every_revision_is_in_the_package() -> None:
    """No ini file and no folder of the checkout is needed: what the wheel holds is enough."""
    folder = files("kvproxy.database") / "migrations" / "versions"
    names = sorted(p.name for p in folder.iterdir() if p.name.startswith("revision_"))
    assert names and [n.split("_")[1] for n in names] == [f"{i + 1:04d}" for i in range(len(names))]


def test_an_older_database_keeps_its_rows(a_database: Database) -> None:
    config = migration_config()
    with a_database.transaction() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "0001")
    with a_database.transaction() as db:
        db.execute(insert(TENANTS).values(id="alice", scope="tenant:a", created_ms=1))
    assert migrate(a_database).before == "0001"
    with a_database.snapshot() as db:
        assert db.execute(select(TENANTS.c.id)).scalars().all() == ["alice"]


def test_pages_are_kept_when_their_key_gets_the_engine(a_database: Database) -> None:
    with a_database.transaction() as db:
        config = migration_config()
        config.attributes["connection"] = db
        command.upgrade(config, "0007")
        for statement in (
            "INSERT INTO documents (name, last_version, digest) VALUES ('a', 1, 'd')",
            "INSERT INTO document_versions"
            " (name, version, etag, visibility, owner_scope, created, origin, pinned, digest)"
            " VALUES ('a', 1, 'e', 'public', 's', 1, 'published', 0, 'd')",
            "INSERT INTO document_pages"
            " (name, version, framing, fingerprint, token_ids, pages, bytes, prefill_s, digest)"
            " VALUES ('a', 1, 'system', 'f1', 't', 'p', 1, 0.5, 'd')",
        ):
            db.execute(text(statement))
    assert migrate(a_database).before == "0007"
    insert_other = text(
        "INSERT INTO document_pages (name, version, framing, fingerprint, token_ids, pages, bytes, prefill_s, digest)"
        " SELECT name, version, framing, 'f2', token_ids, pages, bytes, prefill_s, digest FROM document_pages"
    )
    with a_database.transaction() as db:
        db.execute(insert_other)
        rows = db.execute(text("SELECT framing, fingerprint, bytes FROM document_pages ORDER BY fingerprint"))
        assert [tuple(row) for row in rows] == [("system", "f1", 1), ("system", "f2", 1)]
        db.execute(text("DELETE FROM document_versions"))
        assert db.execute(text("SELECT count(*) FROM document_pages")).scalar_one() == 0
