"""Rows of grants and of their uses. Blocking; each function within a transaction."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, or_, select, update

from kvproxy.accounts.account_rows import change_number
from kvproxy.accounts.grant_values import Grant, GrantIndex, GrantUse
from kvproxy.database.tables.account_tables import GRANT_USES, GRANTS


def read_grants(db: Connection) -> GrantIndex:
    """Read all grants."""
    rows = db.execute(select(GRANTS)).mappings()
    return GrantIndex.of((Grant(**row) for row in rows), change_number(db))


def read_uses(db: Connection) -> dict[str, GrantUse]:
    """Read what was read by the grants that have a cap, by their ids."""
    capped = or_(*(cap.is_not(None) for cap in (GRANTS.c.max_reads, GRANTS.c.max_tokens, GRANTS.c.max_nano)))
    wanted = select(GRANT_USES).join(GRANTS).where(capped, GRANTS.c.revoked_ms.is_(None))
    return {row.grant_id: GrantUse(row.reads, row.tokens, row.nano) for row in db.execute(wanted)}


def read_use(db: Connection, id: str) -> GrantUse:
    """Read what was read by one grant."""
    row = db.execute(select(GRANT_USES).where(GRANT_USES.c.grant_id == id)).one()
    return GrantUse(row.reads, row.tokens, row.nano)


def add_grant(db: Connection, grant: Grant) -> None:
    """Write a new grant, and the row of its uses."""
    values = {column.name: getattr(grant, column.name) for column in GRANTS.columns}
    db.execute(insert(GRANTS).values(values))
    db.execute(insert(GRANT_USES).values(grant_id=grant.id, reads=0, tokens=0, nano=0))


def set_revoked(db: Connection, id: str, at_ms: int) -> None:
    """Write that a grant is revoked.

    Example:
        ``set_revoked(db, grant.id, now_ms())``
    """
    db.execute(update(GRANTS).where(GRANTS.c.id == id).values(revoked_ms=at_ms))


def add_use(db: Connection, id: str, tokens: int, nano: int) -> None:
    """Count one read by a grant.

    Example:
        ``add_use(db, grant.id, 3774, 120_000)``
    """
    uses = GRANT_USES.c
    db.execute(
        update(GRANT_USES)
        .where(uses.grant_id == id)
        .values(reads=uses.reads + 1, tokens=uses.tokens + tokens, nano=uses.nano + nano)
    )


def count_live(db: Connection, publisher: str) -> int:
    """Count the grants of a publisher that are not revoked."""
    live = (GRANTS.c.publisher == publisher) & GRANTS.c.revoked_ms.is_(None)
    return db.execute(select(func.count()).select_from(GRANTS).where(live)).scalar_one()
