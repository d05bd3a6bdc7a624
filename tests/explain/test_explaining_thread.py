"""Causes are found beside the requests: the loop never waits long, and never for nothing."""

from __future__ import annotations

import threading
import time

import pytest

from kvproxy.core import Miss, MissCause, MissReason
from kvproxy.explain.explaining_thread import MOST_WAITING, WAIT_S, ExplainedMiss, ExplainingThread
from kvproxy.explain.miss_explainer import AskedPrompt
from kvproxy.telemetry.request_timer import Timings
from tests.documents.conversation import ALICE, chat
from tests.explain.asking import Asker
from tests.server.doubles import eventually


class Held:
    """Holds the thread of an explainer until it is let go."""

    def __init__(self, asker: Asker, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.go = threading.Event()

        def cause(asked: AskedPrompt) -> MissCause:
            self.go.wait(30)
            if error is not None:
                raise error
            return MissCause.COUNTER

        monkeypatch.setattr(asker.explainer, "cause", cause)


def missed(
    thread: ExplainingThread | None, asker: Asker, reason: MissReason, counted: list[Miss]
) -> ExplainedMiss:
    asked = asker.asked(chat(("user", "Hello")), ALICE, Miss(reason))
    return ExplainedMiss(thread, asked, Timings(), counted.append)


async def test_a_cause_is_there_with_the_first_token(asker: Asker) -> None:
    counted: list[Miss] = []
    with ExplainingThread(asker.explainer) as thread:
        clock = Timings()
        asked = asker.asked(chat(("user", "Hello")), ALICE)
        miss = ExplainedMiss(thread, asked, clock, counted.append)
        await eventually(
            lambda: (clock.decision is not None and clock.decision != asked.decision) or bool(_cause(clock))
        )
        await miss.settle()
        assert counted == [], "a miss counts with its first token"
        miss.replied()
    assert [(m.reason, m.cause) for m in counted] == [(MissReason.NO_DOCUMENT, MissCause.TOO_SHORT)]


def _cause(clock: Timings) -> MissCause | None:
    return clock.decision.cause if isinstance(clock.decision, Miss) else None


async def test_a_late_cause_delays_the_first_token_by_a_bound_and_counts_later(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, counted = Held(asker, monkeypatch), list[Miss]()
    with ExplainingThread(asker.explainer) as thread:
        miss = missed(thread, asker, MissReason.NO_DOCUMENT, counted)
        began = time.perf_counter()
        await miss.settle()
        assert WAIT_S * 0.5 <= time.perf_counter() - began < 20, (
            "it waited, and gave up with the thread still held"
        )
        miss.replied()
        assert counted == []
        held.go.set()
        await eventually(lambda: len(counted) == 1)
    assert counted[0].cause is MissCause.COUNTER


async def test_a_flood_of_misses_is_not_explained(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    held, counted = Held(asker, monkeypatch), list[Miss]()
    with ExplainingThread(asker.explainer) as thread:
        for _ in range(MOST_WAITING):
            missed(thread, asker, MissReason.NO_DOCUMENT, counted).replied()
        further = missed(thread, asker, MissReason.NO_DOCUMENT, counted)
        await further.settle()
        further.replied()
        assert [m.cause for m in counted] == [None]
        thread.remember(asker.asked(chat(("user", "Hello")), ALICE), "id")
        held.go.set()
        await eventually(lambda: len(counted) == MOST_WAITING + 1)
        assert len(asker.previous) == 0, "nor kept"
        thread.remember(asker.asked(chat(("user", "Hello")), ALICE), "id")
        await eventually(lambda: len(asker.previous) == 1)


async def test_a_failure_is_unknown(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held, counted = Held(asker, monkeypatch, RuntimeError("bug")), list[Miss]()
    held.go.set()
    with ExplainingThread(asker.explainer) as thread:
        missed(thread, asker, MissReason.NEW_PREAMBLE, counted).replied()
        await eventually(lambda: len(counted) == 1)
    assert counted[0].cause is MissCause.UNKNOWN and "a miss was not explained" in caplog.text


async def test_some_reasons_need_no_thread(asker: Asker) -> None:
    counted: list[Miss] = []
    for reason in (MissReason.NOT_RESIDENT, MissReason.NO_DOCUMENT):
        miss = missed(None, asker, reason, counted)
        await miss.settle()
        miss.replied()
    assert [m.cause for m in counted] == [MissCause.EVICTED, None]
