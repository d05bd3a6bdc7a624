"""A session's wish, from the job to the order in which pages give way."""

from __future__ import annotations

from kvproxy.core import PAGE_TOKENS
from kvproxy.core.session_hints import Retained
from kvproxy.engine.cache.session_holds import SessionHold
from tests.engine.harness import EngineHarness, HarnessMaker
from tests.engine.tiny import prompt


def wish(seconds: float, most: int = 99, session: str = "s") -> SessionHold:
    return SessionHold("alice", "a", session, seconds, most)


def others(rig: EngineHarness, count: int) -> None:
    """Fill memory with requests of another tenant, twice each: pages that are worth more."""
    for number in range(count):
        for _ in range(2):
            rig.run(prompt(100 + number, 2 * PAGE_TOKENS), scope="b", readable=("b",), tenant="bob")


def test_a_held_prompt_is_still_there_after_others_have_filled_memory(rigs: HarnessMaker) -> None:
    for hold, there in ((wish(600), 2 * PAGE_TOKENS), (None, 0)):
        rig = rigs(pages=12)
        tokens = prompt(1, 2 * PAGE_TOKENS + 40)
        first = rig.run(tokens, tenant="alice", hold=hold)
        assert first.started is not None
        assert first.started.retained == (None if hold is None else Retained(600.0, 3, 3))
        others(rig, 8)
        assert rig.run(tokens, tenant="alice").cached // PAGE_TOKENS * PAGE_TOKENS == there


def test_the_same_sessions_release_lets_it_go(rigs: HarnessMaker) -> None:
    rig = rigs(pages=12)
    tokens = prompt(1, 2 * PAGE_TOKENS + 40)
    rig.run(tokens, tenant="alice", hold=wish(600))
    last = rig.run(prompt(2, 20), tenant="alice", hold=wish(0))
    assert last.started is not None and last.started.retained == Retained(0.0, 0, 0, released=3)
    others(rig, 8)
    assert rig.run(tokens, tenant="alice").cached == 0


def test_pages_of_the_answer_are_held_too(rigs: HarnessMaker) -> None:
    rig = rigs(pages=12)
    tokens = prompt(1, PAGE_TOKENS - 10)
    answered = rig.run(tokens, tenant="alice", max_tokens=40, hold=wish(600))
    assert answered.started is not None and answered.started.retained == Retained(600.0, 1, 1)
    assert rig.on_engine(lambda: rig.cache._holds.pages("alice")) == 2


def test_a_budget_holds_the_first_pages(rigs: HarnessMaker) -> None:
    rig = rigs(pages=12)
    held = rig.run(prompt(1, 4 * PAGE_TOKENS), tenant="alice", hold=wish(600, most=2))
    assert held.started is not None and held.started.retained == Retained(600.0, 4, 2)


def test_held_pages_give_way_to_a_request_that_needs_all_of_memory(rigs: HarnessMaker) -> None:
    rig = rigs(pages=6)
    rig.run(prompt(1, 4 * PAGE_TOKENS), tenant="alice", hold=wish(600))
    large = rig.run(prompt(2, 5 * PAGE_TOKENS), scope="b", readable=("b",), tenant="bob")
    assert large.finished is not None
