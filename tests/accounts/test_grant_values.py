from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvproxy.accounts.grant_values import Grant, GrantIndex, GrantUse
from kvproxy.core import Caller

CALLER = Caller("bob", "tenant:b", key="key_1")
EVERYBODY = Grant("g1", "acme", "handbook", None, "everybody", None, 10)
TENANT = Grant("g2", "acme", "handbook", None, "tenant", "bob", 20)
KEY = Grant("g3", "acme", "handbook", None, "key", "key_1", 5)


def best(*grants: Grant, version: int = 1, caller: Caller = CALLER, but: str = "") -> str | None:
    index = GrantIndex.of(grants, 1)
    found = index.best("acme", "handbook", version, caller, lambda g: g.id != but)
    return None if found is None else found.id


def test_the_narrowest_grant_counts() -> None:
    assert best(EVERYBODY, TENANT, KEY) == "g3"
    assert best(EVERYBODY, TENANT) == "g2"
    assert best(EVERYBODY, TENANT, KEY, but="g3") == "g2"
    assert best(EVERYBODY, TENANT, KEY, caller=Caller("bob", "tenant:b")) == "g2"
    assert best(EVERYBODY, TENANT, KEY, caller=Caller("carol", "tenant:c", key="key_2")) == "g1"
    assert best(TENANT, KEY, caller=Caller("carol", "tenant:c", key="key_2")) is None


def test_versions_and_age() -> None:
    of_two = replace(TENANT, id="v2", version=2, created_ms=1)
    newer = replace(TENANT, id="new", created_ms=30)
    assert best(TENANT, newer, of_two, version=2) == "v2"
    assert best(TENANT, newer, of_two, version=1) == "new"
    assert best(of_two, version=1) is None


def test_other_documents_and_publishers_do_not_count() -> None:
    others = replace(KEY, document="other"), replace(KEY, publisher="evil")
    assert [best(other) for other in others] == [None] * 2


@pytest.mark.parametrize("cap", ["max_reads", "max_tokens", "max_nano"])
def test_a_cap_is_reached_by_its_last_use(cap: str) -> None:
    caps: dict[str, Any] = {cap: 2}
    grant = replace(KEY, **caps)
    use = GrantUse(0, 0, 0)
    assert not use.exhausts(grant)
    assert not use.plus(1, 1).exhausts(grant) and use.plus(1, 1).plus(1, 1).exhausts(grant)
    assert not GrantUse(10**9, 10**9, 10**9).exhausts(KEY)
    assert GrantUse(0, 0, 0).exhausts(replace(KEY, max_reads=0))


def test_sums_never_shrink() -> None:
    assert GrantUse(1, 5, 2).at_least(GrantUse(2, 3, 2)) == GrantUse(2, 5, 2)


def test_a_reader_is_told_of_the_documents_that_grants_name_it_for() -> None:
    ended = replace(TENANT, id="g4", document="old", revoked_ms=1)
    index = GrantIndex.of([KEY, ended, replace(EVERYBODY, document="all", publisher="other")], 1)
    assert index.documents_of(CALLER) == {"handbook", "old"}
    assert index.documents_of(Caller("bob", "tenant:b")) == {"old"}
    assert index.documents_of(Caller("carol", "tenant:c", key="key_2")) == set()
    assert index.documents_of(None) == {"all"}
    assert GrantIndex().documents_of(CALLER) == set()
