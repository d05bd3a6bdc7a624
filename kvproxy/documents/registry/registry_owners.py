"""`read_page_owners`: the pages that belong to documents; `read_reads`: the recorded reads of versions."""

from __future__ import annotations

from sqlalchemy import Connection, select

from kvproxy.core import stored_key
from kvproxy.database.tables.document_tables import DOCUMENT_PAGES, DOCUMENT_READS, DOCUMENT_VERSIONS
from kvproxy.documents.library.document import pages_scope
from kvproxy.documents.library.recorded_reads import RecordedReads
from kvproxy.documents.registry.registry_reading import rows_of
from kvproxy.documents.registry.registry_rows import id_of, parse_pages, row_fault


def read_page_owners(db: Connection, fingerprint: str = "") -> dict[bytes, str]:
    """Return the scope of the oldest publisher of each page, by its key in the page store: pages of one engine, or of
    all for an empty ``fingerprint``. Rows are not verified.

    Example:
        ``owners = read_page_owners(db, engine_fingerprint)``
    """
    versions, pages = DOCUMENT_VERSIONS, DOCUMENT_PAGES
    of_both = (versions.c.name == pages.c.name) & (versions.c.version == pages.c.version)
    statement = (
        select(versions.c.name, versions.c.version, versions.c.visibility, versions.c.owner_scope)
        .add_columns(pages.c.pages)
        .join_from(versions, pages, of_both)
        .order_by(versions.c.created, versions.c.name, versions.c.version)
    )
    if fingerprint:
        statement = statement.where(pages.c.fingerprint == fingerprint)
    owners: dict[bytes, str] = {}
    for name, version, visibility, owner, blob in db.execute(statement.execution_options(yield_per=256)):
        scope = pages_scope(id_of(name), version, visibility, owner)
        for page in parse_pages(blob):
            owners.setdefault(stored_key(page.key, scope), owner)
    return owners


def read_reads(db: Connection) -> dict[tuple[str, int], RecordedReads]:
    """Return the recorded reads by ``DocumentRef.name`` and version. Damaged rows are left out."""
    rows = [row for row in rows_of(db, DOCUMENT_READS) if row_fault(DOCUMENT_READS, row) is None]
    return {
        (row["name"], row["version"]): RecordedReads(row["reads"], row["last_read"], row["saved_tokens"])
        for row in rows
    }
