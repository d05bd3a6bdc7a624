"""`salvage_registry`: the verifiable rows of a damaged registry, from each page of the database that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Double, Integer, LargeBinary, Table, Text

from kvproxy.database.tables.document_tables import (
    DOCUMENT_ALIASES,
    DOCUMENT_PAGES,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
    DOCUMENTS,
)
from kvproxy.documents.registry.registry_rows import (
    DAMAGED,
    TABLES,
    describe_loss,
    row_fault,
    sealed,
    text_fault,
)
from kvproxy.store.sqlite.sqlite_pages import Image
from kvproxy.store.sqlite.sqlite_rows import table_rows

Values = tuple[Any, ...]

_KINDS: dict[type, tuple[type, ...]] = {
    Text: (str,),
    Integer: (int,),
    Double: (int, float),
    LargeBinary: (bytes,),
}
"""The types of a column's values; a whole number in a REAL column is an integer in the file."""


@dataclass(slots=True)
class SalvagedRegistry:
    """Verified rows by table, parents of all of them among them, and a line of text for each known loss."""

    rows: dict[str, list[Values]] = field(default_factory=lambda: {t.name: [] for t in TABLES})
    lost: list[str] = field(default_factory=list)

    @property
    def versions(self) -> list[Values]:
        """The rows of ``document_versions``."""
        return self.rows[DOCUMENT_VERSIONS.name]


def salvage_registry(image: Image) -> SalvagedRegistry:
    """Return what can be verified of the registry in the pages of a database.

    Example:
        ``salvaged = salvage_registry(read_image(path))``
    """
    sound: dict[str, dict[Values, dict[str, Any]]] = {t.name: {} for t in TABLES}
    doubtful: dict[str, dict[Values, dict[str, Any]]] = {t.name: {} for t in TABLES}
    texts: dict[Values, list[bytes]] = {}
    for values in table_rows(image):
        for table in (t for t in TABLES if len(t.columns) == len(values)):
            row = dict(zip(table.columns.keys(), _coerced(table, values), strict=True))
            if table is DOCUMENT_TEXTS:
                if _alike(table, values):
                    texts.setdefault(_key(table, row), []).append(row["text"])
            elif row_fault(table, row) is None:
                _prefer(sound[table.name], _key(table, row), row)
            elif _alike(table, values):
                doubtful[table.name].setdefault(_key(table, row), row)
    return _consistent(sound, doubtful, texts)


def _consistent(
    sound: dict[str, dict[Values, dict[str, Any]]],
    doubtful: dict[str, dict[Values, dict[str, Any]]],
    texts: dict[Values, list[bytes]],
) -> SalvagedRegistry:
    found = SalvagedRegistry()
    versions = sound[DOCUMENT_VERSIONS.name]
    _keep_served(found, versions, doubtful[DOCUMENT_VERSIONS.name], texts)
    numbers: dict[str, int] = {row["name"]: row["last_version"] for row in sound[DOCUMENTS.name].values()}
    children = [
        t for t in TABLES if t not in (DOCUMENTS, DOCUMENT_VERSIONS, DOCUMENT_TEXTS, DOCUMENT_ALIASES)
    ]
    # Damaged rows count where they are of a registry's table beyond doubt, by the number of their columns.
    tables = [DOCUMENT_VERSIONS, DOCUMENT_PAGES]
    named = [row for t in (DOCUMENT_VERSIONS, *children) for row in sound[t.name].values()]
    named += [row for t in tables for row in doubtful[t.name].values()]
    for row in named:
        numbers[row["name"]] = max(row["version"], numbers.get(row["name"], 0))
    _note_missing(found, named, versions)
    for table in children:
        found.lost += [
            describe_loss(table, row, DAMAGED)
            for key, row in doubtful[table.name].items()
            if key not in sound[table.name] and row["name"] in numbers
        ]
        rows = (row for row in sound[table.name].values() if (row["name"], row["version"]) in versions)
        found.rows[table.name] = list(_values(table, rows))
    found.rows[DOCUMENTS.name] = list(
        _values(DOCUMENTS, (sealed(DOCUMENTS, {"name": n, "last_version": v}) for n, v in numbers.items()))
    )
    found.rows[DOCUMENT_VERSIONS.name] = list(_values(DOCUMENT_VERSIONS, versions.values()))
    aliases = (row for row in sound[DOCUMENT_ALIASES.name].values() if row["name"] in numbers)
    found.rows[DOCUMENT_ALIASES.name] = list(_values(DOCUMENT_ALIASES, aliases))
    found.lost = sorted(set(found.lost))
    return found


def _keep_served(
    found: SalvagedRegistry,
    versions: dict[Values, dict[str, Any]],
    doubtful: dict[Values, dict[str, Any]],
    texts: dict[Values, list[bytes]],
) -> None:
    """Keep of ``versions`` those that are beyond doubt and whose text is there, and put the texts into ``found``."""
    for key, row in doubtful.items():
        # A damaged row may be the newer of two, and say that the version was revoked.
        versions.pop(key, None)
        found.lost.append(describe_loss(DOCUMENT_VERSIONS, row, DAMAGED))
    for key, row in sorted(versions.items()):
        text = next((t for t in texts.get(key, ()) if text_fault(t, row["etag"]) is None), None)
        if text is None:
            reason = text_fault(next(iter(texts.get(key, ())), None), row["etag"])
            found.lost.append(describe_loss(DOCUMENT_VERSIONS, row, str(reason)))
            del versions[key]
        else:
            found.rows[DOCUMENT_TEXTS.name].append((*key, text))


def _note_missing(
    found: SalvagedRegistry, named: Iterable[dict[str, Any]], versions: dict[Values, Any]
) -> None:
    """Note versions of which only other rows were found."""
    for row in named:
        line = describe_loss(DOCUMENT_VERSIONS, row, "")
        if (row["name"], row["version"]) not in versions and not any(
            told.startswith(line) for told in found.lost
        ):
            found.lost.append(f"{line}its row cannot be read")


def _prefer(rows: dict[Values, dict[str, Any]], key: Values, row: dict[str, Any]) -> None:
    """Keep the stricter of two rows of one key: an older copy may lie in a page that a damaged one replaced."""
    before = rows.get(key)
    if before is None or (before.get("revoked") is None and row.get("revoked") is not None):
        rows[key] = row


def _values(table: Table, rows: Iterable[dict[str, Any]]) -> Iterator[Values]:
    return (tuple(row[name] for name in table.columns.keys()) for row in rows)


def _key(table: Table, row: dict[str, Any]) -> Values:
    return tuple(row[column.name] for column in table.primary_key.columns)


def _coerced(table: Table, values: Values) -> Values:
    return tuple(
        float(value) if isinstance(column.type, Double) and type(value) is int else value
        for column, value in zip(table.columns, values, strict=True)
    )


def _alike(table: Table, values: Values) -> bool:
    """Return whether every value has its column's type: a damaged row of this table, and of no other."""
    for column, value in zip(table.columns, values, strict=True):
        kinds = next(kinds for kind, kinds in _KINDS.items() if isinstance(column.type, kind))
        if not (type(value) in kinds or (value is None and column.nullable)):
            return False
    return True
