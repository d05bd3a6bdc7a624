from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from kvproxy.backends.fake.expecting_backend import ExpectingBackend
from kvproxy.core import (
    PUBLIC,
    CacheHints,
    Caller,
    ChatRequest,
    Decision,
    DocumentRef,
    Hit,
    Message,
    Miss,
    MissReason,
    Prompt,
    Span,
    TextPart,
)
from kvproxy.exactness import fleet_audit
from kvproxy.exactness.fleet_audit import MOST_WAITING, FleetAuditCounts, FleetAuditor
from kvproxy.explain.miss_explainer import AskedPrompt
from tests.server.doubles import eventually

REF = DocumentRef("handbook", 3)
IDS = tuple(range(1003))
PROMPT = Prompt((*IDS, 7, 8, 9), (Span(REF, 3, 1003, PUBLIC),))
REQUEST = ChatRequest("fleet", (Message("user", (TextPart("?"),)),))
ALICE = Caller("alice", "tenant:alice")


def asked(
    decision: Decision | None = None, request: ChatRequest = REQUEST, caller: Caller = ALICE
) -> AskedPrompt:
    return AskedPrompt(request, PROMPT, caller, decision or Hit(896, REF))


async def fleet() -> ExpectingBackend:
    backend = ExpectingBackend(model="fleet")
    await backend.keep(IDS, PUBLIC)
    return backend


@asynccontextmanager
async def running(auditor: FleetAuditor) -> AsyncIterator[None]:
    task = asyncio.create_task(auditor.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def auditor_of(
    backend: ExpectingBackend, share: float = 1.0, idle: Callable[[], bool] = lambda: True
) -> FleetAuditor:
    return FleetAuditor(backend, "fleet", share=share, idle=idle, draw=lambda: 0.5)


async def test_a_hit_that_agrees_is_counted() -> None:
    auditor = auditor_of(await fleet())
    async with running(auditor):
        auditor.note(asked())
        await eventually(lambda: auditor.counts == FleetAuditCounts(agree=1))


@pytest.mark.parametrize(("difference", "level"), [(0.25, logging.WARNING), (3.0, logging.WARNING)])
async def test_a_difference_is_counted_and_logged(
    difference: float, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    backend = await fleet()
    backend.difference = difference
    auditor = auditor_of(backend)
    async with running(auditor):
        auditor.note(asked())
        await eventually(lambda: auditor.counts == FleetAuditCounts(differ=1))
    (record,) = [r for r in caplog.records if r.name == fleet_audit.__name__]
    assert record.levelno == level
    assert "handbook@3" in record.getMessage() and "23 of 24" in record.getMessage()


async def test_an_answer_of_another_beginning_is_an_error_of_somebody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Wrong(ExpectingBackend):
        async def compare(self, *given: object, **options: object) -> object:  # type: ignore[override]  # as it is called
            found = await super().compare(*given, **options)  # type: ignore[arg-type]  # passed on
            return replace(found, equal_tokens=0, largest_difference=9.0)

    backend = Wrong(model="fleet")
    await backend.keep(IDS, PUBLIC)
    auditor = auditor_of(backend)
    async with running(auditor):
        auditor.note(asked())
        await eventually(lambda: auditor.counts.differ == 1)
    assert [r.levelno for r in caplog.records if r.name == fleet_audit.__name__] == [logging.ERROR]


@pytest.mark.parametrize(
    "passed_over",
    [
        asked(Miss(MissReason.NOT_RESIDENT, REF)),
        asked(request=replace(REQUEST, model="another")),
        asked(request=replace(REQUEST, cache=CacheHints(retain=False))),
        asked(caller=replace(ALICE, retain=False)),
    ],
    ids=["a miss", "another model's", "not to be kept", "a key that keeps nothing"],
)
async def test_what_is_passed_over(passed_over: AskedPrompt) -> None:
    backend = await fleet()
    auditor = auditor_of(backend)
    async with running(auditor):
        auditor.note(passed_over)
        auditor.note(asked())
        await eventually(lambda: auditor.counts.agree == 1)
    assert auditor.counts == FleetAuditCounts(agree=1)


async def test_a_share_is_chosen() -> None:
    draws = iter((0.5, 0.49))
    auditor = FleetAuditor(await fleet(), "fleet", share=0.5, idle=lambda: True, draw=lambda: next(draws))
    unknown = replace(asked(), prompt=Prompt(tuple(range(5000, 6000))))
    auditor.note(unknown)  # it would be dropped
    auditor.note(asked())
    async with running(auditor):
        await eventually(lambda: auditor.counts.agree == 1)
    assert auditor.counts == FleetAuditCounts(agree=1)


async def test_requests_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_audit, "IDLE_S", 0.0)
    busy, looks = [True], [0]

    def idle() -> bool:
        looks[0] += 1
        return not busy[0]

    auditor = auditor_of(await fleet(), idle=idle)
    async with running(auditor):
        auditor.note(asked())
        await eventually(lambda: looks[0] > 3)
        assert auditor.counts == FleetAuditCounts()
        busy[0] = False
        await eventually(lambda: auditor.counts.agree == 1)


async def test_what_is_gone_or_too_much_is_dropped() -> None:
    backend = await fleet()
    auditor = auditor_of(backend)
    for _ in range(MOST_WAITING + 2):
        auditor.note(asked())
    assert auditor.counts == FleetAuditCounts(dropped=2)
    backend.evict()
    async with running(auditor):
        await eventually(lambda: auditor.counts.dropped == MOST_WAITING + 2)


async def test_two_cold_reads_say_nothing() -> None:
    backend = await fleet()
    backend.reported = 0
    auditor = auditor_of(backend)
    async with running(auditor):
        auditor.note(asked())
        await eventually(lambda: auditor.counts == FleetAuditCounts(dropped=1))
