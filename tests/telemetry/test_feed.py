"""The feed: bounded, separate for each tenant, and independent of slow followers."""

from __future__ import annotations

import asyncio

from kvproxy.telemetry.feed import BEHIND, KEPT, Feed


def test_a_tenant_sees_its_own_newest_in_order() -> None:
    feed: Feed[int] = Feed()
    for number in range(10):
        feed.put("a" if number % 2 else "b", number)
    assert feed.recent("a", 3) == [5, 7, 9]
    assert feed.recent("a", 99) == [1, 3, 5, 7, 9]
    assert feed.recent("a", 0) == feed.recent("nobody", 5) == []


def test_what_is_remembered_has_a_bound() -> None:
    feed: Feed[int] = Feed()
    for number in range(KEPT + 5):
        feed.put("a", number)
    assert len(feed.recent("a", 10**6)) == KEPT


async def test_a_follower_hears_of_what_comes_and_of_nothing_after_it_left() -> None:
    feed: Feed[int] = Feed()
    with feed.following("a") as follower:
        feed.put("a", 1)
        feed.put("b", 2)
        await follower.wait(5)
        assert follower.take() == ([1], 0)
        asyncio.get_running_loop().call_soon(feed.put, "a", 3)
        await follower.wait(5)
        assert follower.take() == ([3], 0)
    feed.put("a", 4)
    assert follower.take() == ([], 0)


async def test_a_slow_follower_loses_the_oldest_and_gets_their_number() -> None:
    feed: Feed[int] = Feed()
    with feed.following("a") as follower:
        for number in range(BEHIND + 7):
            feed.put("a", number)
        taken, missed = follower.take()
    assert (taken[0], taken[-1], missed) == (7, BEHIND + 6, 7)


async def test_waiting_ends_by_itself() -> None:
    feed: Feed[int] = Feed()
    with feed.following("a") as follower:
        await follower.wait(0.01)
        assert follower.take() == ([], 0)


def test_an_operator_sees_everybodys_but_what_others_keep_private() -> None:
    feed: Feed[int] = Feed()
    feed.put("a", 1, tenant="alice")
    feed.put("a", 2, tenant="alice", private=True)
    feed.put("b", 3, tenant="bob", private=True)
    seen = feed.everybodys("b", 10)
    assert [(kept.tenant, kept.entry) for kept in seen] == [("alice", 1), ("bob", 3)]
    assert feed.everybodys("c", 10) == seen[:1] and feed.everybodys("b", 1) == seen[1:]
    assert feed.recent("a", 10) == [1, 2] and feed.put_in_all == 3
