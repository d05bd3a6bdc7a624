from __future__ import annotations

from kvproxy.bench.fleets.fleet_policies import best_placement, round_robin, sticky_sessions
from kvproxy.bench.fleets.reading_trace import ReadingStep

NAMES = ["replica-0", "replica-1"]


def step(session: str, document: int = 0) -> ReadingStep:
    return ReadingStep(session, document, "Why?")


def test_round_robin_takes_turns() -> None:
    choose = round_robin(NAMES)
    assert [choose(step("a")) for _ in range(4)] == [0, 1, 0, 1]


def test_a_session_stays_and_sessions_spread() -> None:
    choose = sticky_sessions(NAMES)
    places = {f"session-{n}": choose(step(f"session-{n}")) for n in range(40)}
    assert all(choose(step(name, 7)) == place for name, place in places.items())
    assert 8 <= sum(places.values()) <= 32


def test_placement_gives_each_document_one_replica_and_each_replica_its_half() -> None:
    tokens = [900, 500, 500, 400, 300, 200]
    steps = [step("s", number % 6) for number in range(60)]
    choose = best_placement(NAMES, steps, tokens)
    places = [choose(step("any", number)) for number in range(6)]
    held = [sum(size for size, place in zip(tokens, places, strict=True) if place == at) for at in (0, 1)]
    assert sum(held) == sum(tokens)
    assert abs(held[0] - held[1]) <= 400
    assert {choose(one) == places[one.document] for one in steps} == {True}
