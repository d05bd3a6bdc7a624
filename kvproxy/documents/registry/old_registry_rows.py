"""The registry's tables, and the digest that each row carries: pure, no I/O.

SQLite checks the links between its pages, not their content. So every row ends with a sha256 over its table's name
and all of its columns; a text counts in it by its ETag, which is itself the sha256 of the text.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import DocumentRef, Kept, KeptPage
from kvproxy.documents.library.document import Document

SCHEMA_VERSION = 3
"""Schema 1 had no digests, and private documents had no owner in their ``id``; schema 2 had no granted documents. Both
are imported. The digests of 2 and 3 are the same."""

VISIBILITIES = ("public", "granted", "private")

PAGE = struct.Struct("<32sI")
"""A page's key and its tokens, in ``kept.pages``."""

Value = None | int | float | str | bytes
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: ``columns`` in front of the digest, their types ``kinds``, and ``key``, the number of columns that
    name a row."""

    name: str
    columns: tuple[str, ...]
    kinds: tuple[type, ...]
    key: int
    sql: str

    @property
    def insert(self) -> str:
        """The INSERT statement of one row, digest included."""
        return f"INSERT INTO {self.name} VALUES ({', '.join('?' * (len(self.columns) + 1))})"


# `ids` outlives its versions, so that a deleted handbook@3 never comes back with another text.
IDS = Table(
    "ids",
    ("id", "last_version"),
    (str, int),
    1,
    """CREATE TABLE ids (id TEXT PRIMARY KEY, last_version INTEGER NOT NULL, digest BLOB NOT NULL)""",
)
VERSIONS = Table(
    "versions",
    ("id", "version", "text", "etag", "visibility", "owner_scope", "created"),
    (str, int, bytes, str, str, str, int),
    2,
    """CREATE TABLE versions (
    id TEXT NOT NULL REFERENCES ids (id),
    version INTEGER NOT NULL CHECK (version > 0),
    text BLOB NOT NULL,
    etag TEXT NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'granted', 'private')),
    owner_scope TEXT NOT NULL,
    created INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (id, version)
)""",
)
KEPT = Table(
    "kept",
    ("id", "version", "framing", "fingerprint", "token_ids", "pages", "bytes", "prefill_s"),
    (str, int, str, str, bytes, bytes, int, float),
    3,
    """CREATE TABLE kept (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    framing TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    token_ids BLOB NOT NULL,
    pages BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    prefill_s REAL NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (id, version, framing),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
)""",
)
QUARANTINED = Table(
    "quarantined",
    ("id", "version", "note"),
    (str, int, str),
    2,
    """CREATE TABLE quarantined (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    note TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (id, version),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
)""",
)
PINNED = Table(
    "pinned",
    ("id", "version"),
    (str, int),
    2,
    """CREATE TABLE pinned (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (id, version),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
)""",
)
TABLES = (IDS, VERSIONS, KEPT, QUARANTINED, PINNED)
"""Parents before children."""

BEFORE_GRANTS = {t.name: t.sql.replace("'granted', ", "") for t in TABLES}
"""The tables of schema 2, by name."""

SCHEMA = f"BEGIN; {'; '.join(t.sql for t in TABLES)}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"


def sealed(table: Table, values: Sequence[Value]) -> Row:
    """Return the row to write: ``values``, one for each column, and their digest."""
    return (*values, _digest(table, values))


def row_fault(table: Table, row: Sequence[Value], *, with_digest: bool = True) -> str | None:
    """Return the reason that a row must not be used; None for a row as it was written.

    Without digests (schema 1) texts are compared with their ETags, and other columns are checked for their type only.

    Example:
        ``reason = row_fault(VERSIONS, row, with_digest=False)``
    """
    if len(row) != len(table.columns) + with_digest:
        return "it has lost columns"
    values = coerced(table, row[: len(table.columns)])
    if values is None:
        return "a column has another type"
    if with_digest and row[-1] != _digest(table, values):
        return "a column differs from the row as written"
    if table is VERSIONS:
        version, text, etag = values[1:4]
        assert isinstance(version, int) and isinstance(text, bytes)
        if hashlib.sha256(text).hexdigest() != etag:
            return "the text does not match its ETag"
        if version < 1 or values[4] not in VISIBILITIES:
            return "a column differs from the row as written"
    if table is KEPT and (len(_blob(values[4])) % 4 or len(_blob(values[5])) % PAGE.size):
        return "tokens or pages are cut off"
    return None


def coerced(table: Table, values: Sequence[Value]) -> Row | None:
    """Convert ``values`` to their columns' types: a whole number in a REAL column is an integer in the file. None
    where that is not possible."""
    same = tuple(
        float(v) if kind is float and type(v) is int else v
        for v, kind in zip(values, table.kinds, strict=True)
    )
    return same if all(type(v) is kind for v, kind in zip(same, table.kinds, strict=True)) else None


def id_of(name: str) -> str:
    """Return the document id in the name that its rows are stored under (``DocumentRef.name``)."""
    return name.partition("\n")[0]


def named_by_owner(found: Mapping[str, Mapping[Row, Row]]) -> dict[str, dict[Row, Row]]:
    """Return the rows of schema 1, by table and key, with private versions under their owner's name, as in
    ``DocumentRef.name``.

    An id that only private versions had is dropped from the public ids: its number would show that another tenant
    uses it.
    """
    names: dict[Row, str] = {}
    for key, row in found[VERSIONS.name].items():
        id, visibility, owner = row[0], row[4], row[5]
        assert isinstance(id, str) and isinstance(owner, str)
        if visibility == "private" and id_of(id) == id:
            names[key] = DocumentRef(id, owner=owner).name
    renamed: dict[str, dict[Row, Row]] = {}
    for table in (VERSIONS, KEPT, QUARANTINED, PINNED):
        rows = [(names.get(row[:2], row[0]), *row[1:]) for row in found[table.name].values()]
        renamed[table.name] = {row[: table.key]: row for row in rows}
    last = {row[0]: row[1] for row in found[IDS.name].values()}
    private = {key[0] for key in names}
    public = {key[0] for key in renamed[VERSIONS.name]}
    numbers = {id: number for id, number in last.items() if id in public or id not in private}
    for key, name in names.items():
        if key[0] in last:
            numbers[name] = last[key[0]]  # also of versions that were deleted
    return {IDS.name: {(id,): (id, number) for id, number in numbers.items()}, **renamed}


def row_name(table: Table, row: Sequence[Value]) -> str:
    """Name a row for messages: ``handbook@2``, ``notes@1 of tenant:a``, ``handbook@2 (system)``, ``handbook``."""
    name, *more = map(str, row[: table.key])
    id, owner = [*name.split("\n"), ""][:2]
    parts = [id[:140] + (f"@{more[0]}" if more else "")]
    parts += [f"of {owner[:140]}"] if owner else []
    parts += [f"({more[1][:140]})"] if len(more) > 1 else []
    return " ".join(parts)


def _blob(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def _digest(table: Table, values: Sequence[Value]) -> bytes:
    digest = hashlib.sha256(table.name.encode())
    for column, value in zip(table.columns, values, strict=True):
        if table is VERSIONS and column == "text":
            continue
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        digest.update(f"\0{column}:{len(data)}:".encode())
        digest.update(data)
    return digest.digest()


def kept_row(ref: DocumentRef, framing: str, kept: Kept) -> Row:
    """Return the values of a row of ``KEPT``, without its digest.

    Example:
        ``row = sealed(KEPT, kept_row(ref, "system", kept))``
    """
    token_ids = struct.pack(f"<{len(kept.token_ids)}I", *kept.token_ids)
    pages = b"".join(PAGE.pack(page.key, page.tokens) for page in kept.pages)
    return (
        ref.name,
        ref.version,
        framing,
        kept.fingerprint,
        token_ids,
        pages,
        kept.bytes,
        float(kept.prefill_s),
    )


def parse_kept(columns: Sequence[Any]) -> Kept:
    """Read the columns of ``KEPT`` behind the framing, without the digest."""
    fingerprint, tokens, pages, size, prefill_s = columns
    token_ids = struct.unpack(f"<{len(tokens) // 4}I", tokens)
    return Kept(fingerprint, token_ids, parse_pages(pages), size, prefill_s)


def parse_pages(blob: bytes) -> tuple[KeptPage, ...]:
    """Read the column ``kept.pages``."""
    return tuple(KeptPage(key, tokens) for key, tokens in PAGE.iter_unpack(blob))


def parse_document(row: Sequence[Any]) -> Document:
    """Read a row of ``VERSIONS``, digest included."""
    name, version, text, etag, visibility, owner_scope, created, _ = row
    return Document(id_of(name), version, bytes(text).decode("utf-8"), etag, visibility, owner_scope, created)
