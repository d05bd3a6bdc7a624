from __future__ import annotations

import asyncio

import pytest

from kvproxy.backends.fake.fake_backend import answer_to
from kvproxy.core import Miss, MissReason, Sampling
from kvproxy.errors import CannotFit, ContextTooLong, HitLost, Overloaded, UpstreamError
from kvproxy.telemetry.request_timer import Timings
from tests.server.doubles import eventually
from tests.test_pipeline import CALLER, DOCUMENT, Setup, chat


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (HitLost("torn", MissReason.PAGES_REJECTED), MissReason.PAGES_REJECTED),
        (RuntimeError("bug"), MissReason.ENGINE_FAILED),
    ],
)
async def test_a_hit_that_fails_before_the_first_event_becomes_a_miss(
    failure: Exception, reason: MissReason
) -> None:
    setup = Setup()
    await setup.publish()
    setup.backend.fail_next(failure)
    reply, said, _ = await setup.ask()
    assert reply.decision == Miss(reason, DOCUMENT)
    assert said == "".join(answer_to(setup.backend.generations[0].prompt.token_ids))
    assert len(setup.backend.generations) == 2


async def test_a_fleet_without_an_answer_is_a_warning_and_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup()
    await setup.publish()
    setup.backend.fail_next(
        UpstreamError("2 of the model's replicas were asked, and none answered.", status=502)
    )
    reply, _, _ = await setup.ask()
    assert reply.decision == Miss(MissReason.ENGINE_FAILED, DOCUMENT)
    assert [record.levelname for record in caplog.records if "tried as a miss" in record.message] == [
        "WARNING"
    ]
    assert not any(record.exc_info for record in caplog.records)


async def test_the_miss_path_is_tried_once() -> None:
    setup = Setup()
    await setup.publish()
    setup.backend.fail_next(RuntimeError("first"))
    setup.backend.fail_next(RuntimeError("second"))
    with pytest.raises(RuntimeError, match="second"):
        await setup.ask()
    assert setup.backend.check() == []


@pytest.mark.parametrize(
    "refusal",
    [Overloaded("busy"), CannotFit("no room"), ContextTooLong(limit=1, prompt_tokens=1, completion_tokens=1)],
)
async def test_what_the_engine_says_about_the_request_reaches_the_client(refusal: Exception) -> None:
    setup = Setup()
    await setup.publish()
    setup.backend.fail_next(refusal)
    with pytest.raises(type(refusal)):
        await setup.ask()
    assert setup.misses.missed == []
    assert setup.backend.check() == []


async def test_pages_are_held_until_the_engine_has_begun_and_no_longer() -> None:
    setup = Setup()
    await setup.publish()
    setup.backend.gate = asyncio.Event()
    task = asyncio.create_task(setup.pipeline.serve(chat("?", Sampling()), CALLER, "id", Timings()))
    await eventually(lambda: setup.backend.running == {"id"})
    assert setup.backend.holds == 1
    setup.backend.gate.set()
    reply = await task
    assert setup.backend.holds == 0
    await reply.aclose()
    assert setup.backend.check() == []
