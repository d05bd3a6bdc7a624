from __future__ import annotations

import random
from collections.abc import Iterable

from langchain_kvproxy._ranking import Ranking


def order(ranking: Ranking, ids: Iterable[str]) -> list[str]:
    return sorted(ids, key=lambda id: -ranking.shared(list(ids))[id])


def see(ranking: Ranking, ids: Iterable[str]) -> None:
    ranking.seen({id: id for id in ids})


def test_new_texts_stand_by_their_ids() -> None:
    ranking = Ranking()
    for ids in ("d", "ba", "c"):
        see(ranking, ids)
    assert order(ranking, "dcba") == ["a", "b", "c", "d"]


def test_what_is_clearly_shared_more_goes_to_the_front_and_stays() -> None:
    ranking = Ranking()
    see(ranking, "az")
    for _ in range(3):
        see(ranking, "z")
    assert order(ranking, "az") == ["a", "z"], "four to one is no clear lead yet"
    see(ranking, "z")
    assert order(ranking, "az") == ["z", "a"]
    for _ in range(9):
        see(ranking, "a")
    assert order(ranking, "az") == ["z", "a"], "ten to five is no clear lead"
    for _ in range(3):
        see(ranking, "a")
    assert order(ranking, "az") == ["a", "z"]


def test_what_is_shared_alike_keeps_its_order_for_good() -> None:
    chance = random.Random(1)
    ranking = Ranking()
    ids = [f"{i:02}" for i in range(20)]
    changes, last = 0, None
    for query in range(2000):
        see(ranking, chance.sample(ids, 5))
        if query >= 100:
            now = order(ranking, ids)
            changes += last is not None and now != last
            last = now
    assert changes <= 5


def test_a_skewed_use_settles_with_the_most_used_in_front() -> None:
    chance = random.Random(2)
    ranking = Ranking()
    ids = [f"{i:02}" for i in range(12)]
    for _ in range(500):
        see(ranking, {id for id in ids if chance.random() < (0.9 if id in ("10", "11") else 0.1)})
    assert set(order(ranking, ids)[:2]) == {"10", "11"}


def test_what_is_remembered_has_a_limit() -> None:
    ranking = Ranking(limit=3)
    for _ in range(5):
        see(ranking, "z")
    see(ranking, "abcd")
    assert ranking.count("z") == 5 and ranking.count("d") == 0
    assert ranking.shared("abcdz") == {"z": 3, "a": 2, "b": 1}
