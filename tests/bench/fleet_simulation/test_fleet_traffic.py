from collections import Counter
from itertools import pairwise

import pytest

from kvproxy.bench.fleet_simulation.fleet_traffic import TrafficPlan, make_traffic
from kvproxy.routing.best_possible import PartRead

PLAN = TrafficPlan(requests=6000, per_second=50.0, documents=1000)


def test_turns_come_in_order_at_the_asked_rate() -> None:
    turns = make_traffic(PLAN)
    assert len(turns) == 6000 and turns == make_traffic(PLAN)
    assert [turn.at for turn in turns] == sorted(turn.at for turn in turns) and turns[0].at >= 0
    halves = (turns[2999].at, turns[-1].at - turns[2999].at)
    assert all(half == pytest.approx(60, rel=0.15) for half in halves)


def test_documents_follow_zipfs_law() -> None:
    counts = Counter({turn.session: turn.document for turn in make_traffic(PLAN)}.values())
    sessions = sum(counts.values())
    assert counts[-1] / sessions == pytest.approx(0.1, abs=0.03)
    summed = sum(1 / rank**0.9 for rank in range(1, 1001))
    assert counts[0] / (sessions - counts[-1]) == pytest.approx(1 / summed, rel=0.25)


def test_a_sessions_turns_grow_by_question_and_answer() -> None:
    longest = Counter(turn.session for turn in make_traffic(PLAN)).most_common(1)[0][0]
    turns = [turn for turn in make_traffic(PLAN) if turn.session == longest]
    assert len(turns) > 5
    for before, after in pairwise(turns):
        assert after.prompt_tokens >= before.prompt_tokens + before.answer_tokens + 8
        assert after.at >= before.at + before.answer_tokens * PLAN.token_s
        assert after.document_blocks == before.document_blocks and after.read_blocks >= before.stored_blocks


def test_parts_of_a_prompt() -> None:
    with_document = next(turn for turn in make_traffic(PLAN) if turn.document >= 0)
    document, mine = with_document.parts()
    assert document == PartRead(with_document.document, *[with_document.document_blocks] * 2)
    assert mine.part < 0 and mine.read <= mine.stored
    without = next(turn for turn in make_traffic(PLAN) if turn.document < 0)
    assert len(without.parts()) == 1
