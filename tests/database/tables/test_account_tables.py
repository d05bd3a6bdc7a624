from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, insert
from sqlalchemy.exc import IntegrityError

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.account_tables import API_KEYS, BUDGETS, GRANT_USES, GRANTS, TENANTS

TENANT: dict[str, Any] = {"id": "alice", "scope": "tenant:a", "created_ms": 1}
KEY: dict[str, Any] = {
    **{
        "id": "key_1",
        "tenant": "alice",
        "digest": b"d",
        "made_with": "m",
        "hint": "…",
        "permissions": "read",
    },
    "created_ms": 1,
}
GRANT: dict[str, Any] = {
    **{"id": "g", "publisher": "alice", "document": "d", "reader_kind": "tenant", "reader": "bob"},
    "created_ms": 1,
}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (TENANTS, {**TENANT, "id": "bob"}),  # the scope of another tenant
        (TENANTS, {**TENANT, "id": "bob", "scope": "tenant:b", "credit_nano": -1}),
        (API_KEYS, {**KEY, "tenant": "nobody"}),
        (API_KEYS, {**KEY, "digest": None}),
        (BUDGETS, {"subject": "tenant:alice", "period": "year", "tokens": 1}),
        (BUDGETS, {"subject": "tenant:alice", "period": "day", "tokens": -1}),
        (GRANTS, {**GRANT, "publisher": "nobody"}),
        (GRANTS, {**GRANT, "reader_kind": "friend"}),
        (GRANTS, {**GRANT, "reader": None}),
        (GRANTS, {**GRANT, "reader_kind": "everybody"}),
        (GRANT_USES, {"grant_id": "nothing", "reads": 0, "tokens": 0, "nano": 0}),
    ],
)
def test_the_database_itself_refuses_what_cannot_be(
    a_database: Database, table: Table, row: dict[str, Any]
) -> None:
    METADATA.create_all(a_database.engine)
    with a_database.transaction() as db:
        db.execute(insert(TENANTS).values(TENANT))
        db.execute(insert(API_KEYS).values(KEY))
        db.execute(insert(GRANTS).values(GRANT))
    new = {**row, "id": "new"} if row.get("id") in ("key_1", "g") else row
    with pytest.raises(IntegrityError), a_database.transaction() as db:
        db.execute(insert(table).values(new))
