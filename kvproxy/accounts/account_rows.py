"""Rows of the account tables: read into a snapshot, and written. Blocking; each function within a transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, text, update

from kvproxy.accounts.account_snapshot import AccountSnapshot, KnownKey, known_key
from kvproxy.accounts.account_values import Budget, StoredKey, Tenant
from kvproxy.core import ALL_PERMISSIONS
from kvproxy.core.document_quota import DocumentQuota
from kvproxy.database.announcements import ChangeTopic, announce
from kvproxy.database.database import Database
from kvproxy.database.database_away import database_away
from kvproxy.database.tables.account_tables import (
    ACCOUNT_CHANGES,
    API_KEYS,
    BUDGETS,
    DOCUMENT_QUOTAS,
    TENANTS,
)

_COUNT = text(
    "INSERT INTO account_changes (id, number) VALUES (1, 1) "
    "ON CONFLICT (id) DO UPDATE SET number = account_changes.number + 1"
)


@contextmanager
def account_change(database: Database) -> Iterator[Connection]:
    """Open a transaction that changes accounts or grants, and count it, so that other processes read them again.

    The count is written first: it locks its row, so that changes come one after the other, on PostgreSQL too. Raises
    Unavailable without a database.
    """
    with database_away("Accounts"), database.transaction() as db:
        db.execute(_COUNT)
        announce(db, ChangeTopic.ACCOUNTS)
        yield db


def change_number(db: Connection) -> int:
    """Return how many changes there have been."""
    return db.execute(select(ACCOUNT_CHANGES.c.number)).scalar_one_or_none() or 0


def read_accounts(db: Connection, mark: str) -> AccountSnapshot:
    """Read all accounts. ``mark``: the name of the secret whose digests can be looked up."""
    tenants = {row.id: _tenant(row) for row in db.execute(select(TENANTS))}
    digests: dict[bytes, KnownKey] = {}
    keys: dict[str, StoredKey] = {}
    foreign = 0
    for row in db.execute(select(API_KEYS).order_by(API_KEYS.c.created_ms, API_KEYS.c.id)):
        stored = keys[row.id] = _stored_key(row)
        if row.made_with == mark:
            digests[bytes(row.digest)] = known_key(stored, tenants[stored.tenant])
        else:
            foreign += stored.revoked_ms is None
    budgets: dict[str, list[Budget]] = defaultdict(list)
    for row in db.execute(select(BUDGETS).order_by(BUDGETS.c.subject, BUDGETS.c.period)):
        budgets[row.subject].append(_budget(row))
    return AccountSnapshot(
        number=change_number(db),
        tenants=tenants,
        scopes={tenant.scope: tenant.id for tenant in tenants.values()},
        digests=digests,
        keys=keys,
        budgets={subject: tuple(found) for subject, found in budgets.items()},
        quotas={
            row.tenant: DocumentQuota(row.versions, row.bytes, row.tokens)
            for row in db.execute(select(DOCUMENT_QUOTAS))
        },
        foreign_keys=foreign,
    )


def find_tenant(db: Connection, id: str) -> Tenant | None:
    """Read one tenant; None where there is none."""
    row = db.execute(select(TENANTS).where(TENANTS.c.id == id)).one_or_none()
    return None if row is None else _tenant(row)


def tenant_of_scopes(db: Connection, scopes: Sequence[str]) -> str | None:
    """Return the name of a tenant whose pages have one of these scopes; None where there is none."""
    return db.execute(select(TENANTS.c.id).where(TENANTS.c.scope.in_(scopes))).scalars().first()


def add_tenant(db: Connection, tenant: Tenant) -> None:
    """Write a new tenant."""
    db.execute(
        insert(TENANTS).values(
            id=tenant.id,
            scope=tenant.scope,
            created_ms=tenant.created_ms,
            credit_nano=tenant.credit_nano,
            closed_ms=tenant.closed_ms,
        )
    )


def set_tenant(db: Connection, tenant: Tenant) -> None:
    """Write a tenant's credit, and whether it is closed."""
    values = {"credit_nano": tenant.credit_nano, "closed_ms": tenant.closed_ms}
    db.execute(update(TENANTS).where(TENANTS.c.id == tenant.id).values(values))


def find_key(db: Connection, id: str) -> StoredKey | None:
    """Read one key; None where there is none."""
    row = db.execute(select(API_KEYS).where(API_KEYS.c.id == id)).one_or_none()
    return None if row is None else _stored_key(row)


def add_key(db: Connection, stored: StoredKey, *, digest: bytes, made_with: str) -> None:
    """Write a new key.

    Example:
        ``add_key(db, stored, digest=hash.digest(text), made_with=hash.mark)``
    """
    db.execute(
        insert(API_KEYS).values(
            id=stored.id,
            tenant=stored.tenant,
            digest=digest,
            made_with=made_with,
            hint=stored.hint,
            permissions=" ".join(sorted(stored.permissions)),
            isolate_by=stored.isolate_by,
            created_ms=stored.created_ms,
            expires_ms=stored.expires_ms,
            revoked_ms=stored.revoked_ms,
            label=stored.label,
        )
    )


def set_key_end(db: Connection, stored: StoredKey) -> None:
    """Write when a key ends."""
    values = {"expires_ms": stored.expires_ms, "revoked_ms": stored.revoked_ms}
    db.execute(update(API_KEYS).where(API_KEYS.c.id == stored.id).values(values))


def read_budgets(db: Connection, subject: str) -> list[Budget]:
    """Read the budgets of one subject."""
    return [_budget(row) for row in db.execute(select(BUDGETS).where(BUDGETS.c.subject == subject))]


def put_budget(db: Connection, budget: Budget) -> None:
    """Write a budget in place of the one before it; an empty one removes it."""
    same = (BUDGETS.c.subject == budget.subject) & (BUDGETS.c.period == budget.period)
    db.execute(delete(BUDGETS).where(same))
    if not budget.empty:
        db.execute(
            insert(BUDGETS).values(
                subject=budget.subject,
                period=budget.period,
                tokens=budget.tokens,
                nano=budget.nano,
                requests=budget.requests,
            )
        )


def put_quota(db: Connection, tenant: str, quota: DocumentQuota | None) -> None:
    """Write a tenant's own quota of documents in place of the one before it; None removes it.

    Example:
        ``put_quota(db, "alice", DocumentQuota(versions=1000))``
    """
    db.execute(delete(DOCUMENT_QUOTAS).where(DOCUMENT_QUOTAS.c.tenant == tenant))
    if quota is not None:
        limits = {"versions": quota.versions, "bytes": quota.bytes, "tokens": quota.tokens}
        db.execute(insert(DOCUMENT_QUOTAS).values(tenant=tenant, **limits))


def _budget(row: Row[Any]) -> Budget:
    return Budget(row.subject, row.period, row.tokens, row.nano, row.requests)


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(row.id, row.scope, row.created_ms, row.credit_nano, row.closed_ms)


def _stored_key(row: Row[Any]) -> StoredKey:
    return StoredKey(
        id=row.id,
        tenant=row.tenant,
        hint=row.hint,
        # A permission that this version does not know allows nothing.
        permissions=ALL_PERMISSIONS & frozenset(row.permissions.split()),
        isolate_by=row.isolate_by,
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        revoked_ms=row.revoked_ms,
        label=row.label,
    )
