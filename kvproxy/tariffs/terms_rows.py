"""Rows of the table of terms: written once by their digest, read back by it."""

from __future__ import annotations

import json

import rfc8785
from sqlalchemy import Connection, insert, select

from kvproxy.database.tables.tariff_tables import TERMS
from kvproxy.tariffs.appended_rows import lock_rows
from kvproxy.tariffs.document_terms import DocumentTerms


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
