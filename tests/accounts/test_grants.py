from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.accounts.account_values import now_ms
from kvproxy.accounts.grant_values import Grant, GrantUse
from kvproxy.accounts.grants import Grants
from kvproxy.core import Caller
from kvproxy.database.database import Database
from kvproxy.errors import AccountNotFound, InvalidRequest

ALICE = Caller("alice", "tenant:a", key="key_1")
WANTED = Grant("", "acme", "handbook", None, "tenant", "alice", 0)


def read(grants: Grants, now: int | None = None) -> str | None:
    found = grants.grant_for("handbook", 1, "acme", ALICE, now_ms() if now is None else now)
    return None if found is None else found.id


def test_a_grant_counts_until_it_is_revoked(grants: Grants, database: Database) -> None:
    assert read(grants) is None
    made = grants.create(WANTED)
    assert read(grants) == made.id and grants.get(made.id) == made
    other = Grants(database)
    other.load()
    assert read(other) == made.id
    revoked = grants.revoke(made.id)
    assert read(grants) is None and revoked.revoked_ms is not None
    assert grants.revoke(made.id) == revoked
    other.refresh()
    assert read(other) is None
    assert [g.id for g in other.list("acme")] == [made.id] and other.list("alice") == []


def test_a_grant_expires(grants: Grants) -> None:
    ends = now_ms() + 10**6
    made = grants.create(replace(WANTED, expires_ms=ends))
    assert read(grants, ends - 1) == made.id
    assert read(grants, ends) is None


def test_a_cap_ends_a_grant_and_a_wider_one_takes_over(grants: Grants, database: Database) -> None:
    wider = grants.create(replace(WANTED, reader_kind="everybody", reader=None))
    capped = grants.create(replace(WANTED, max_reads=2, max_tokens=100))
    for _ in range(2):
        assert read(grants) == capped.id
        with database.transaction() as db:
            grants.note_use(db, capped.id, tokens=10, nano=7)
    assert read(grants) == wider.id
    assert grants.use(capped.id) == GrantUse(2, 20, 14)


def test_a_use_that_is_not_booked_is_not_counted(grants: Grants, database: Database) -> None:
    made = grants.create(replace(WANTED, max_reads=1))
    with pytest.raises(RuntimeError), database.transaction() as db:
        grants.note_use(db, made.id, tokens=10, nano=7)
        raise RuntimeError
    assert read(grants) == made.id and grants.use(made.id) == GrantUse()


def test_why_a_grant_counts_no_more(grants: Grants, database: Database) -> None:
    def why() -> str | None:
        return grants.ended_for("handbook", 1, "acme", ALICE, now_ms())

    assert why() is None
    capped = grants.create(replace(WANTED, max_reads=1))
    assert why() is None
    with database.transaction() as db:
        grants.note_use(db, capped.id, tokens=1, nano=1)
    assert why() == f"the grant {capped.id} is used up; ask its publisher for another."
    before = grants.generation
    revoked = grants.create(replace(WANTED, reader_kind="key", reader="key_1"))
    grants.revoke(revoked.id)
    assert why() == f"the grant {revoked.id} was revoked; ask its publisher for another."
    assert grants.generation == before + 2
    assert grants.ended_for("handbook", 1, "acme", Caller("bob", "tenant:b"), now_ms()) is None


def test_another_process_sees_uses_after_a_refresh(grants: Grants, database: Database) -> None:
    made = grants.create(replace(WANTED, max_nano=10))
    other = Grants(database)
    other.load()
    with database.transaction() as db:
        grants.note_use(db, made.id, tokens=10, nano=10)
    assert read(other) == made.id
    other.refresh()
    assert read(other) is None
    again = Grants(database)
    again.load()
    assert read(again) is None


def test_what_cannot_be_granted(grants: Grants) -> None:
    for change in ({"max_reads": -1}, {"max_tokens": 2**63}, {"max_nano": -1}, {"expires_ms": 1}):
        with pytest.raises(InvalidRequest):
            grants.create(replace(WANTED, **change))  # type: ignore[arg-type]  # each is a number
    with pytest.raises(AccountNotFound, match="There is no grant with the id 'grant_0'"):
        grants.revoke("grant_0")
    assert grants.list() == []
