"""Rows of the table of terms: written once by their digest, read back by it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import rfc8785
from sqlalchemy import Connection, insert, select

from kvproxy.database.tables.tariff_tables import DOCUMENT_TERMS, TERMS
from kvproxy.tariffs.appended_rows import lock_rows
from kvproxy.tariffs.document_terms import DocumentTerms


@dataclass(frozen=True, slots=True)
class ChosenTerms:
    """A publisher's choice for a document, valid from its beginning until that of the next one."""

    valid_from_ms: int
    terms: DocumentTerms
    licence: str = ""


def read_choices(db: Connection, document_id: str, publisher: str) -> list[ChosenTerms]:
    """Read a publisher's choices for a document by their beginning; of two with the same one, the later choice.

    Example:
        ``read_choices(db, "handbook", "acme")``
    """
    columns = (DOCUMENT_TERMS.c.valid_from_ms, TERMS.c.body, DOCUMENT_TERMS.c.licence)
    wanted = (DOCUMENT_TERMS.c.document == document_id) & (DOCUMENT_TERMS.c.publisher == publisher)
    joined = select(*columns).join(TERMS, TERMS.c.id == DOCUMENT_TERMS.c.terms).where(wanted)
    rows = db.execute(joined.order_by(DOCUMENT_TERMS.c.seq))
    chosen = {
        begins: ChosenTerms(begins, DocumentTerms.from_json(json.loads(body)), licence)
        for begins, body, licence in rows
    }
    return [chosen[begins] for begins in sorted(chosen)]


def keep_terms(db: Connection, terms: DocumentTerms) -> str:
    """Write terms that are not there yet, and return their id."""
    found = terms.id
    lock_rows(db, TERMS)
    if db.execute(select(TERMS.c.id).where(TERMS.c.id == found)).first() is None:
        db.execute(insert(TERMS).values(id=found, body=rfc8785.dumps(terms.as_json()).decode()))
    return found


def read_terms(db: Connection, terms_id: str) -> DocumentTerms | None:
    """Read terms by their id; None for an unknown one."""
    row = db.execute(select(TERMS.c.body).where(TERMS.c.id == terms_id)).first()
    return None if row is None else DocumentTerms.from_json(json.loads(row[0]))
