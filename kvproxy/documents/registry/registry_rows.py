"""Rows of the registry: their digests, and the values that they stand for. Pure, no I/O."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table

from kvproxy.core import DocumentRef, Kept, KeptPage
from kvproxy.database.tables.document_tables import (
    DOCUMENT_ALIASES,
    DOCUMENT_MANIFESTS,
    DOCUMENT_PAGES,
    DOCUMENT_READS,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
    DOCUMENTS,
)
from kvproxy.documents.library.document import Document
from kvproxy.documents.registry.registry_entry import KeptFraming

TABLES = (
    *(DOCUMENTS, DOCUMENT_VERSIONS, DOCUMENT_TEXTS, DOCUMENT_PAGES),
    *(DOCUMENT_ALIASES, DOCUMENT_MANIFESTS, DOCUMENT_READS),
)
"""Parents before children."""

PAGE = struct.Struct("<32sI")
"""A page's key and its tokens, in ``document_pages.pages``."""

DAMAGED = "a column differs from the row as written"

Row = Mapping[Any, Any]
"""A row by its columns' names."""


def sealed(table: Table, row: Row) -> dict[str, Any]:
    """Return the row to write: ``row``, a value for each column, and its digest.

    Example:
        ``db.execute(insert(DOCUMENTS), [sealed(DOCUMENTS, {"name": "handbook", "last_version": 3})])``
    """
    return {**row, "digest": digest_of(table, row)}


def digest_of(table: Table, row: Row) -> bytes:
    """Return the digest of a row's columns but ``digest``, 32 bytes."""
    digest = hashlib.sha256(table.name.encode())
    for column in table.columns.keys():
        if column == "digest":
            continue
        value = row[column]
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        digest.update(f"\0{column}:{len(data)}:".encode())
        digest.update(data)
    return digest.digest()


def row_fault(table: Table, row: Row) -> str | None:
    """Return the reason that a row must not be used; None for a row as it was written. A text has none by itself: see
    :func:`text_fault`."""
    if table is DOCUMENT_TEXTS or row["digest"] == digest_of(table, row):
        return None
    return DAMAGED


def text_fault(text: bytes | None, etag: str) -> str | None:
    """Return the reason that a text must not be used; None for the text that was published with ``etag``."""
    if text is None:
        return "its text cannot be read"
    return None if hashlib.sha256(text).hexdigest() == etag else "the text does not match its ETag"


def document_rows(document: Document, *, pinned: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of a new version, in ``document_versions`` and in ``document_texts``.

    Example:
        ``version, text = document_rows(document, pinned=False)``
    """
    where = {"name": document.ref.name, "version": document.version}
    version = {
        **where,
        "etag": document.etag,
        "visibility": document.visibility,
        "owner_scope": document.owner_scope,
        "created": document.created,
        "origin": document.origin,
        "expires": document.expires,
        "pinned": int(pinned),
        "quarantined": None,
        "revoked": None,
    }
    return sealed(DOCUMENT_VERSIONS, version), {**where, "text": document.text.encode("utf-8")}


def pages_row(ref: DocumentRef, framing: KeptFraming) -> dict[str, Any]:
    """Return the row of a version's kept pages under one framing."""
    kept = framing.kept
    row = {
        "name": ref.name,
        "version": ref.version,
        "framing": framing.framing,
        "fingerprint": kept.fingerprint,
        "token_ids": struct.pack(f"<{len(kept.token_ids)}I", *kept.token_ids),
        "pages": b"".join(PAGE.pack(page.key, page.tokens) for page in kept.pages),
        "bytes": kept.bytes,
        "prefill_s": float(kept.prefill_s),
    }
    return sealed(DOCUMENT_PAGES, row)


def parse_document(row: Row, text: bytes) -> Document:
    """Read a verified row of ``document_versions``, with its text."""
    return Document(
        id_of(row["name"]),
        row["version"],
        text.decode("utf-8"),
        row["etag"],
        row["visibility"],
        row["owner_scope"],
        row["created"],
        row["origin"],
        row["expires"],
    )


def parse_framing(row: Row) -> KeptFraming:
    """Read a verified row of ``document_pages``."""
    tokens = row["token_ids"]
    token_ids = struct.unpack(f"<{len(tokens) // 4}I", tokens)
    kept = Kept(row["fingerprint"], token_ids, parse_pages(row["pages"]), row["bytes"], row["prefill_s"])
    return KeptFraming(row["framing"], kept)


def parse_pages(blob: bytes) -> tuple[KeptPage, ...]:
    """Read the column ``document_pages.pages``; of a damaged one what is whole."""
    whole = len(blob) // PAGE.size * PAGE.size
    return tuple(KeptPage(key, tokens) for key, tokens in PAGE.iter_unpack(blob[:whole]))


def id_of(name: str) -> str:
    """Return the document id in the name that its rows are stored under (``DocumentRef.name``)."""
    return name.partition("\n")[0]


def row_name(table: Table, row: Row) -> str:
    """Name a row for messages: ``handbook@2``, ``notes@1 of tenant:a``, ``handbook@2 (system)``, ``handbook``."""
    id, owner = [*str(row["name"]).split("\n"), ""][:2]
    parts = [id[:140]]
    if table is DOCUMENT_ALIASES:
        parts = [f"{id[:140]}@{row['alias']}"]
    elif table is not DOCUMENTS:
        parts = [f"{id[:140]}@{row['version']}"]
    parts += [f"of {owner[:140]}"] if owner else []
    parts += [f"({str(row['framing'])[:140]})"] if table is DOCUMENT_PAGES else []
    return " ".join(parts)


def describe_loss(table: Table, row: Row, reason: str) -> str:
    """Describe the loss of a row for the report.

    Example:
        ``line = describe_loss(DOCUMENT_VERSIONS, row, DAMAGED)``
    """
    name = row_name(table, row)
    if table in (DOCUMENT_VERSIONS, DOCUMENT_TEXTS):
        return f"{name} is not served: {reason}"
    if table is DOCUMENT_PAGES:
        return f"{name} is prefilled again: {reason}"
    return f"{name} has lost its row in {table.name}: {reason}"
