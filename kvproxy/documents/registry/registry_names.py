"""`read_named`: the versions and aliases of one name of the registry, and `read_states`: a digest of each name's rows.

What follows the registry reads one name after a change of it, and compares digests where it may have missed some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from kvproxy.database.tables.document_tables import (
    DOCUMENT_ALIASES,
    DOCUMENT_PAGES,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
)
from kvproxy.documents.registry.registry_entry import KeptFraming, RegistryEntry
from kvproxy.documents.registry.registry_reading import entry_of
from kvproxy.documents.registry.registry_rows import Row, parse_framing, row_fault, text_fault

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class NamedDocuments:
    """The registry's rows of one name at one moment."""

    name: str
    entries: tuple[RegistryEntry, ...] = ()
    """By version, oldest first, those that are not served any more included."""
    aliases: tuple[tuple[str, int], ...] = ()
    """Aliases with the numbers of the versions that they mean."""
    state: bytes = b""
    """The name's digest as :func:`read_states` returns it; empty where there is nothing."""


def read_named(db: Connection, name: str, fingerprint: str = "") -> NamedDocuments:
    """Read one name, with the pages of one engine, or of all for an empty ``fingerprint``. Rows that fail their
    digests are left out.

    Example:
        ``found = read_named(db, DocumentRef("handbook").name, engine_fingerprint)``
    """
    versions = {row["version"]: row for row in _sound(db, DOCUMENT_VERSIONS, name)}
    texts = {row["version"]: row["text"] for row in _sound(db, DOCUMENT_TEXTS, name)}
    framings: dict[int, list[KeptFraming]] = {}
    for row in _sound(db, DOCUMENT_PAGES, name):
        if not fingerprint or row["fingerprint"] == fingerprint:
            framings.setdefault(row["version"], []).append(parse_framing(row))
    entries = tuple(
        entry_of(row, texts[version], framings.get(version, []))
        for version, row in versions.items()
        if version in texts and text_fault(texts[version], row["etag"]) is None
    )
    aliases = tuple((row["alias"], row["version"]) for row in _sound(db, DOCUMENT_ALIASES, name))
    return NamedDocuments(name, entries, aliases, read_states(db, fingerprint, (name,)).get(name, b""))


def read_states(
    db: Connection, fingerprint: str = "", names: Sequence[str] | None = None
) -> dict[str, bytes]:
    """Return a digest of the rows of each of ``names``, or of every name, texts left out: a version's row has the
    digest of its text.

    Example:
        ``states = read_states(db, engine_fingerprint)``
    """
    states: dict[str, hashlib._Hash] = {}
    for table in (DOCUMENT_VERSIONS, DOCUMENT_PAGES, DOCUMENT_ALIASES):
        statement = select(table.c.name, table.c.digest).order_by(*table.primary_key.columns)
        if names is not None:
            statement = statement.where(table.c.name.in_(names))
        if table is DOCUMENT_PAGES and fingerprint:
            statement = statement.where(table.c.fingerprint == fingerprint)
        for named, digest in _streamed(db, statement):
            states.setdefault(named, hashlib.sha256()).update(table.name.encode() + digest)
    return {named: state.digest() for named, state in states.items()}


def _streamed(db: Connection, statement: Select[Any]) -> Iterator[tuple[str, bytes]]:
    for row in db.execute(statement.execution_options(yield_per=_ROWS_AT_ONCE)):
        yield str(row[0]), bytes(row[1])


def _sound(db: Connection, table: Table, name: str) -> list[Row]:
    statement = select(table).where(table.c.name == name).order_by(*table.primary_key.columns)
    return [row for row in db.execute(statement).mappings() if row_fault(table, row) is None]
