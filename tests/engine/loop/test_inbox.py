from __future__ import annotations

import time

import pytest

from kvproxy.engine.loop.inbox import Inbox


def test_calls_are_run_in_order_and_once() -> None:
    inbox, seen = Inbox(), []
    for i in range(3):
        inbox.put(lambda i=i: seen.append(i))  # type: ignore[misc]  # a default makes the lambda's type unknown
    inbox.take(wait=False, timeout_s=None)
    inbox.take(wait=False, timeout_s=None)
    assert seen == [0, 1, 2]


def test_a_question_is_answered_or_raises() -> None:
    inbox = Inbox()
    good, bad = inbox.ask(lambda: 7), inbox.ask(lambda: [][0])
    inbox.take(wait=True, timeout_s=None)
    assert good.result(timeout=0) == 7
    with pytest.raises(IndexError):
        bad.result(timeout=0)


def test_it_waits_no_longer_than_it_is_told() -> None:
    began = time.monotonic()
    Inbox().take(wait=True, timeout_s=0.01)
    assert 0.005 < time.monotonic() - began < 5


def test_a_call_that_fails_costs_no_other_one(caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox()
    done: list[int] = []

    def fail() -> None:
        raise RuntimeError("broken on purpose")

    inbox.put(fail)
    inbox.put(lambda: done.append(1))
    inbox.take(wait=False, timeout_s=None)
    assert done == [1] and "on purpose" in caplog.text
