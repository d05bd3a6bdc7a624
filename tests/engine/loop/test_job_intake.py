"""Jobs that the engine refuses before they are queued, and the count of those that it took."""

from __future__ import annotations

import pytest

from kvproxy.errors import CannotFit, ContextTooLong, Overloaded
from tests.engine.harness import HarnessMaker
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import prompt


def test_too_long_a_context_names_both_numbers(rigs: HarnessMaker) -> None:
    rig = rigs(max_context=512)
    with pytest.raises(ContextTooLong, match=r"512 tokens.*520 tokens \(500 in the messages, 20 in"):
        rig.submit(prompt(1, 500), max_tokens=20)
    with pytest.raises(ContextTooLong):
        rig.submit(prompt(1, 512), max_tokens=0)
    assert rig.run(prompt(1, 500), max_tokens=12).finished is not None


def test_a_request_larger_than_the_budget_names_the_pages(rigs: HarnessMaker) -> None:
    rig = rigs(pages=3)
    with pytest.raises(CannotFit, match=r"needs 4 pages.*700 prompt.*up to 70 new.*is 3 pages"):
        rig.submit(prompt(1, 700), max_tokens=70)
    assert rig.run(prompt(1, 700), max_tokens=69).finished is not None


def test_a_full_queue_is_busy_and_says_when_to_come_back(rigs: HarnessMaker, stepped: SteppedModel) -> None:
    rig = rigs(stepped.model, max_running=2, max_waiting=1)
    stepped.hold()
    streams = [rig.submit(prompt(i, 40)) for i in range(3)]
    with pytest.raises(Overloaded, match="3 requests") as caught:
        rig.submit(prompt(9, 40))
    assert caught.value.retry_after_s == 2
    assert sum(rig.engine.load) == 3, "the one that was refused is not counted"
    stepped.go()
    assert all(s.end().finished for s in streams)
    assert rig.run(prompt(9, 40)).finished is not None
    assert rig.engine.load == (0, 0) and not rig.engine.full
