"""Places between tenants when there are few."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.engine.loop.fairness.places import Claim, Places
from kvproxy.errors import InvalidRequest, Overloaded


def come(places: Places, tenant: str | None, count: int = 1) -> list[Claim]:
    """Requests of one sequence each, which are in the engine."""
    claims = [places.claim(tenant, 1) for _ in range(count)]
    for claim in claims:
        with claim:
            claim.enter()
    return claims


def test_a_tenant_that_is_alone_may_have_them_all_and_no_more() -> None:
    places = Places(4)
    held = come(places, "a", 4)
    assert places.full
    with pytest.raises(Overloaded, match="4 requests are running or waiting") as refused:
        come(places, "a")
    assert refused.value.retry_after_s == 2
    held[0].leave(failed=False)
    come(places, "a")
    assert places.full


def test_a_tenant_that_filled_the_queue_keeps_no_other_from_its_share() -> None:
    places = Places(8)
    come(places, "a", 8)
    come(places, "b", 4)  # of two tenants, each has four
    for tenant in ("a", "b"):
        with pytest.raises(Overloaded):
            come(places, tenant)
    come(places, "c", 2)
    with pytest.raises(Overloaded):
        come(places, "c")


def test_even_where_there_are_more_tenants_than_places_each_has_one() -> None:
    places = Places(2)
    come(places, "a", 2)
    for tenant in "bcd":
        come(places, tenant)
        with pytest.raises(Overloaded):
            come(places, tenant)


def test_the_share_of_one_that_left_is_the_others() -> None:
    places = Places(4)
    first = come(places, "a", 2)
    come(places, "b", 2)
    for claim in first:
        claim.leave(failed=False)
    come(places, "b", 2)
    assert places.full


def test_background_work_has_no_share() -> None:
    places = Places(2)
    come(places, "a", 2)
    with pytest.raises(Overloaded):
        come(places, None)


def test_a_request_is_admitted_with_all_its_sequences_or_refused() -> None:
    places = Places(4)
    come(places, "a", 2)
    with places.claim("a", 3) as refused:
        with pytest.raises(Overloaded, match="this one needs 3 places"):
            refused.enter()
    with places.claim("a", 2) as claim:
        claim.enter()
        with pytest.raises(Overloaded):
            come(places, "a")  # its second has not come yet, and has its place
        claim.enter()
    assert places.full


def test_more_than_there_ever_are_is_the_clients_mistake() -> None:
    with pytest.raises(InvalidRequest, match=r"'n'.*needs 5 places.*has 4") as refused:
        Places(4).claim("a", 5)
    assert refused.value.param == "n"


def test_places_without_a_sequence_are_free_when_the_claim_closes() -> None:
    places = Places(4)
    with places.claim("a", 4) as claim:
        claim.enter()
        assert places.full
    come(places, "a", 3)
    claim.leave(failed=False)
    come(places, "a", 1)


def test_a_hit_that_was_lost_finds_its_place_again_as_a_miss() -> None:
    places = Places(2)
    with places.claim("a", 1) as claim:
        claim.enter()
        claim.leave(failed=True)
        come(places, "a")
        with pytest.raises(Overloaded):
            come(places, "a")
        claim.enter()


def test_a_list_of_prompts_keeps_the_places_of_those_that_have_ended() -> None:
    places = Places(2)
    with places.claim("a", 1, again=True) as claim:
        claim.enter()
        others = come(places, "a")
        claim.leave(failed=False)
        with pytest.raises(Overloaded):
            come(places, "a")
        claim.enter()
        claim.leave(failed=False)
    assert len(others + come(places, "a")) == 2 and places.full


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 4), st.booleans()), max_size=60))
def test_no_tenant_below_its_share_is_refused_and_the_excess_is_bounded(
    events: list[tuple[str, int, bool]],
) -> None:
    places, here = Places(6), dict[str, list[Claim]]()
    for tenant, count, comes in events:
        mine = here.setdefault(tenant, [])
        if not comes:
            if mine:
                mine.pop().leave(failed=False)
            continue
        present = {t for t, claims in here.items() if claims} | {tenant}
        within = len(mine) + count <= max(1, 6 // len(present))
        taken = sum(map(len, here.values()))
        claim = places.claim(tenant, count)
        try:
            with claim:
                for _ in range(count):
                    claim.enter()
            mine += [claim] * count
        except Overloaded:
            assert not within and taken + count > 6
        assert sum(map(len, here.values())) <= 6 + 3 + 2 + 1
    for claims in here.values():
        for claim in claims:
            claim.leave(failed=False)
    assert not places.full and come(places, "e", 6)
