from __future__ import annotations

from dataclasses import replace

from kvproxy.accounts import grant_rows
from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grant_values import Grant, GrantUse
from kvproxy.database.database import Database

PLAIN = Grant("g1", "acme", "handbook", 3, "tenant", "bob", 5, "t" * 64, expires_ms=9)
CAPPED = replace(PLAIN, id="g2", reader_kind="everybody", reader=None, version=None, max_tokens=0)
REVOKED = replace(PLAIN, id="g3", max_reads=5, revoked_ms=7)


def test_grants_come_back_as_they_were_written(accounts: Accounts, database: Database) -> None:
    with database.transaction() as db:
        for grant in (PLAIN, CAPPED, REVOKED):
            grant_rows.add_grant(db, grant)
        for grant in (PLAIN, CAPPED, CAPPED, REVOKED):
            grant_rows.add_use(db, grant.id, 10, 3)
    with database.snapshot() as db:
        assert grant_rows.read_grants(db).grants == {"g1": PLAIN, "g2": CAPPED, "g3": REVOKED}
        # Sums of every read are kept; those of grants without caps, and of ended ones, decide nothing.
        assert grant_rows.read_uses(db) == {"g2": GrantUse(2, 20, 6)}
        assert grant_rows.read_use(db, "g1") == GrantUse(1, 10, 3)
        assert [grant_rows.count_live(db, name) for name in ("acme", "alice")] == [2, 0]
    with database.transaction() as db:
        grant_rows.set_revoked(db, "g1", 11)
        assert grant_rows.read_grants(db).grants["g1"] == replace(PLAIN, revoked_ms=11)
