from __future__ import annotations

from dataclasses import replace

from kvproxy.backends.base import Generation
from kvproxy.backends.fake.fake_answers import answer_to
from kvproxy.backends.fake.planned_answers import PlannedAnswers
from kvproxy.core import Caller, Constraint, JsonFormat, Prompt, Sampling

ASKED = Generation("id", Prompt((1, 2, 3), ()), Sampling(), Caller("ann", "tenant:ann"))


def test_planned_answers_go_before_scripted_ones_and_those_before_the_usual() -> None:
    plan = PlannedAnswers()
    plan.say_next("one two")
    assert (plan.planned, plan.words(ASKED)) == (True, ["one ", "two"])
    assert (plan.planned, plan.words(ASKED)) == (False, answer_to((1, 2, 3)))
    plan.scripted = lambda generation: "three" if generation.request_id == "id" else None
    assert plan.words(ASKED) == ["three"]
    assert plan.words(replace(ASKED, request_id="other")) == answer_to((1, 2, 3))
    plan.say_next("four")
    assert plan.words(ASKED) == ["four"]


def test_a_constraint_is_answered_with_what_fits_it() -> None:
    constrained = replace(ASKED, constraint=Constraint(format=JsonFormat({"enum": ["ja"]})))
    assert PlannedAnswers().words(constrained) == ['"ja"']


def test_failures_come_once_and_in_order() -> None:
    plan, first, second = PlannedAnswers(), RuntimeError("first"), RuntimeError("second")
    plan.fail_next(first)
    plan.fail_next(second, after_words=2)
    assert [plan.next_failure() for _ in range(3)] == [(first, -1), (second, 2), (None, -1)]
