from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from kvproxy.backends.base import Generation
from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses, answer_to
from kvproxy.backends.litellm.fallback import sampling_arguments
from kvproxy.core import (
    PUBLIC,
    CacheHints,
    Caller,
    ChatRequest,
    DocumentPart,
    DocumentRef,
    Hit,
    JsonFormat,
    Message,
    Miss,
    MissReason,
    Prompt,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
)
from kvproxy.engine.loop.fairness.places import Places
from kvproxy.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    NotReady,
    Overloaded,
)
from kvproxy.events import Event, Finished, Started, TextDelta, Usage
from kvproxy.pipeline import PREDICTION_SLACK, Pipeline
from kvproxy.reply import Reply
from kvproxy.served_model import ServedModel
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.answer_formats.answer_constraint import constraint_of
from tests.server.doubles import CharComposer, eventually

CALLER = Caller("a", "tenant:a")
DOCUMENT = DocumentRef("handbook", 1)
TEXT = "The handbook. " * 30


class Setup:
    def __init__(self, *, max_context: int = 4096, default_max_tokens: int | None = 64) -> None:
        self.backend = FakeBackend(max_context=max_context)
        self.misses = FakeMisses(self.backend)
        self.composer = CharComposer()
        self.composer.texts[DOCUMENT] = TEXT
        self.pipeline = Pipeline(
            models=[ServedModel.of(self.backend, self.composer)],
            misses=self.misses,
            default_max_tokens=default_max_tokens,
        )

    async def publish(self) -> None:
        await self.backend.keep(self.composer.framing(TEXT), PUBLIC)

    async def ask(self, question: str = "why?", sampling: Sampling | None = None) -> tuple[Reply, str, Usage]:
        reply = await self.pipeline.serve(
            chat(question, sampling or Sampling()), CALLER, f"id-{question}", Timings()
        )
        said, usage = "", None
        async with aclosing(reply):
            async for event in reply.choices[0]:
                assert not isinstance(event, Started)
                if isinstance(event, TextDelta):
                    said += event.text
                else:
                    assert isinstance(event, Finished) and usage is None
                    usage = event.usage
        assert usage is not None
        assert self.backend.check() == []
        return reply, said, usage


def chat(question: str, sampling: Sampling) -> ChatRequest:
    system = Message("system", (DocumentPart(DOCUMENT),))
    return ChatRequest("fake", (system, Message("user", (TextPart(question),))), sampling)


async def test_a_published_document_is_a_hit_and_never_sees_the_miss_path() -> None:
    setup = Setup()
    await setup.publish()
    reply, said, usage = await setup.ask()
    assert reply.decision == Hit(1 + len(TEXT), DOCUMENT)
    assert usage.cached_tokens == reply.started.cached_tokens == 1 + len(TEXT)
    assert said == "".join(answer_to(setup.backend.generations[0].prompt.token_ids))
    assert setup.misses.missed == []
    assert setup.backend.generations[0].require_cached == 1 + len(TEXT)


async def test_a_cold_request_is_a_fresh_miss_and_is_expected_to_be_one() -> None:
    setup = Setup()
    await setup.publish()
    cold = replace(chat("why?", Sampling()), cache=CacheHints(reuse=False))
    reply = await setup.pipeline.serve(cold, CALLER, "cold", Timings())
    await reply.aclose()
    assert reply.decision == Miss(MissReason.ASKED_COLD, DOCUMENT)
    assert (await setup.pipeline.expected(cold, CALLER)).decision == reply.decision
    assert reply.started.cached_tokens == 0 and setup.backend.generations[0].fresh
    hit, _, _ = await setup.ask()
    assert hit.decision == Hit(1 + len(TEXT), DOCUMENT), "it kept nothing, and took nothing away"


async def test_a_miss_goes_through_the_miss_path_with_the_texts_in_place_and_gives_the_same_answer() -> None:
    cold, warm = Setup(), Setup()
    await warm.publish()
    reply, said, usage = await cold.ask()
    assert isinstance(reply.decision, Miss)
    assert usage.cached_tokens == 0
    assert said == (await warm.ask())[1]
    generation, call = cold.misses.missed[0]
    assert generation.require_cached == 0
    assert call == {"messages": [{"role": "system", "content": TEXT}, {"role": "user", "content": "why?"}]}


async def test_a_failure_after_the_first_event_is_not_retried() -> None:
    setup = Setup()
    await setup.publish()
    setup.backend.fail_next(RuntimeError("late"), after_words=2)
    with pytest.raises(RuntimeError, match="late"):
        await setup.ask()
    assert len(setup.backend.generations) == 1


async def test_a_client_that_leaves_before_the_first_event_leaves_nothing_behind() -> None:
    setup = Setup()
    setup.backend.gate = asyncio.Event()
    for published in (False, True):
        if published:
            await setup.publish()
        task = asyncio.create_task(setup.pipeline.serve(chat("?", Sampling()), CALLER, "id", Timings()))
        await eventually(lambda: setup.backend.running == {"id"})
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert setup.backend.check() == []


async def test_without_a_default_an_answer_has_no_limit_but_the_context() -> None:
    """A fallback has another context and gets no bound either."""
    setup = Setup(default_max_tokens=None)
    await setup.ask()
    assert [g.sampling.max_tokens for g in setup.backend.generations] == [None]
    assert "max_tokens" not in sampling_arguments(setup.backend.generations[0].sampling, transparent=True)


async def test_max_tokens_is_the_default_as_far_as_there_is_room() -> None:
    prompt = 1 + len(TEXT) + 1 + 1 + len("why?") + 1 + 1
    for max_context, expected in ((prompt + 5, 5), (prompt + 500, 64)):
        setup = Setup(max_context=max_context)
        await setup.ask()
        assert setup.backend.generations[0].sampling.max_tokens == expected


async def test_a_request_over_the_context_is_refused_with_both_numbers() -> None:
    prompt = 1 + len(TEXT) + 1 + 1 + len("why?") + 1 + 1
    exact = Setup(max_context=prompt + 10)
    await exact.ask(sampling=Sampling(max_tokens=10))
    with pytest.raises(ContextTooLong, match=rf"{prompt + 10} tokens.*{prompt} in the messages, 11 in"):
        await exact.ask(sampling=Sampling(max_tokens=11))
    with pytest.raises(ContextTooLong, match=rf"{prompt} in the messages"):
        await Setup(max_context=prompt).ask()


async def test_a_limit_beyond_the_context_ends_where_the_context_does_unless_that_is_near() -> None:
    """Agents always send 32,000 and more; a context of 40,960 must have room for their prompts."""
    prompt = 1 + len(TEXT) + 1 + 1 + len("why?") + 1 + 1
    roomy = Setup(max_context=2 * prompt)
    await roomy.ask(sampling=Sampling(max_tokens=32_000))
    assert roomy.backend.generations[0].sampling.max_tokens == prompt
    with pytest.raises(ContextTooLong, match="32000 in the completion"):
        await Setup(max_context=prompt + prompt // 10).ask(sampling=Sampling(max_tokens=32_000))


async def test_not_ready_says_why() -> None:
    setup = Setup()
    setup.backend.not_ready = "loading 3 of 9 shards"
    with pytest.raises(NotReady, match="loading 3 of 9 shards"):
        await setup.ask()


async def test_a_proxy_without_a_local_model_has_no_such_model() -> None:
    setup = Setup()
    pipeline = Pipeline(models=[], misses=setup.misses, default_max_tokens=1)
    with pytest.raises(ModelNotFound):
        await pipeline.serve(chat("?", Sampling()), CALLER, "id", Timings())


def test_proxy_time_is_all_time_that_was_not_waited() -> None:
    now = [0.0]
    timings = Timings(lambda: now[0])
    with timings.measure("parse"):
        now[0] += 0.25
    with timings.waiting():
        now[0] += 8.0
    now[0] += 0.5
    report = timings.report(Started(0, False, queue_s=1.0, load_s=2.0, prefill_s=3.0))
    assert report == {"parse": 0.25, "queue": 1.0, "load": 2.0, "prefill": 3.0, "proxy": 0.75}


async def test_stop_and_length_end_the_fake_as_they_end_an_engine() -> None:
    setup = Setup()
    reply, said, usage = await setup.ask(sampling=Sampling(max_tokens=3))
    assert usage.completion_tokens == 3
    words = answer_to(setup.backend.generations[0].prompt.token_ids)
    assert said == "".join(words[:3])
    reply = await setup.pipeline.serve(
        chat("why?", Sampling(stop=(words[2].strip(),))), CALLER, "stop", Timings()
    )
    events = [event async for event in reply.choices[0]]
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "".join(words[:2])
    assert isinstance(events[-1], Finished) and events[-1].reason == "stop"


class Headless(FakeBackend):
    """A backend that leaves out the first event."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        async with aclosing(super().generate(generation)) as events:
            await anext(events)
            async for event in events:
                yield event


async def test_a_backend_that_breaks_the_order_of_events_is_closed_at_once() -> None:
    backend = Headless()
    composer = CharComposer()
    composer.texts[DOCUMENT] = TEXT
    pipeline = Pipeline(
        models=[ServedModel.of(backend, composer)], misses=FakeMisses(backend), default_max_tokens=9
    )
    with pytest.raises(RuntimeError, match="began with TextDelta"):
        await pipeline.serve(chat("?", Sampling()), CALLER, "id", Timings())
    assert backend.check() == []


@pytest.mark.parametrize(
    ("fields", "enforced"),
    [
        ({}, False),
        ({"tool_choice": ToolChoice("required")}, True),
        ({"tool_choice": ToolChoice("none")}, False),
        ({"tools": (Tool("look"), Tool("save", strict=True))}, True),
        ({"tools": (Tool("save", strict=True),), "tool_choice": ToolChoice("none")}, False),
        ({"parallel_tool_calls": False}, True),
        ({"tools": (), "parallel_tool_calls": False}, False),
        ({"response_format": JsonFormat()}, True),
    ],
    ids=str,
)
def test_only_what_must_hold_is_enforced(fields: dict[str, Any], enforced: bool) -> None:
    request = replace(chat("why?", Sampling()), **{"tools": (Tool("look"), Tool("save")), **fields})
    assert (constraint_of(request, Prompt((1,))) is not None) == enforced


def test_a_named_function_is_called_once_and_one_call_is_a_wish_where_no_grammar_has_it() -> None:
    named = replace(
        chat("why?", Sampling()), tools=(Tool("a"), Tool("b")), tool_choice=ToolChoice("required", ("b",))
    )
    constraint = constraint_of(named, Prompt((1,)))
    assert constraint is not None
    assert (constraint.tools, constraint.parallel) == ((Tool("b"),), False)
    single = replace(named, tool_choice=ToolChoice(), parallel_tool_calls=False)
    assert constraint_of(single, Prompt((1,), tool_format="mistral")) is None


@pytest.mark.parametrize(
    ("format", "assumed", "enforced"),
    [
        ("hermes", True, True),
        ("mistral", True, False),
        ("mistral", False, True),
    ],
)
def test_an_optional_constraint_is_not_enforced_where_it_would_be_refused(
    format: str, assumed: bool, enforced: bool
) -> None:
    request = replace(chat("why?", Sampling()), tools=(Tool("save", strict=True, assumed=assumed),))
    assert (constraint_of(request, Prompt((1,), tool_format=format)) is not None) == enforced


async def test_a_prediction_reaches_every_choice_cut_to_what_is_of_use() -> None:
    setup = Setup()
    asked = replace(chat("why?", Sampling(max_tokens=5)), n=2, prediction="x" * 9 + "y" * 1000)
    reply = await setup.pipeline.serve(asked, CALLER, "id", Timings())
    await reply.aclose()
    cut = (*map(ord, "x" * 9), *[ord("y")] * (5 + PREDICTION_SLACK - 9))
    assert [g.predicted for g in setup.backend.generations] == [cut, cut]


@pytest.mark.parametrize(("prediction", "predicted"), [(None, None), ("", ())])
async def test_no_prediction_is_not_an_empty_one(
    prediction: str | None, predicted: tuple[int, ...] | None
) -> None:
    setup = Setup()
    asked = replace(chat("why?", Sampling()), prediction=prediction)
    reply = await setup.pipeline.serve(asked, CALLER, "id", Timings())
    await reply.aclose()
    assert [g.predicted for g in setup.backend.generations] == [predicted]


def few_places() -> tuple[FakeBackend, Pipeline]:
    """Return a backend with four places, and its pipeline."""
    setup = Setup()
    setup.backend.places = Places(4)
    return setup.backend, setup.pipeline


async def test_a_request_is_admitted_with_all_its_choices_or_refused_before_any_begins() -> None:
    backend, pipeline = few_places()
    one, three = (replace(chat("Why?", Sampling()), n=n) for n in (1, 3))
    held = [await pipeline.serve(one, CALLER, f"held-{i}", Timings()) for i in range(2)]
    begun = len(backend.running)
    with pytest.raises(Overloaded, match="needs 3 places"):
        await pipeline.serve(three, CALLER, "three", Timings())
    assert len(backend.running) == begun
    await held.pop().aclose()
    reply = await pipeline.serve(three, CALLER, "three", Timings())
    with pytest.raises(Overloaded):
        await pipeline.serve(one, CALLER, "one more", Timings())
    for still in (*held, reply):
        await still.aclose()
    assert backend.check() == [] and not backend.places.full


async def test_more_choices_than_places_are_the_clients_mistake() -> None:
    backend, pipeline = few_places()
    with pytest.raises(InvalidRequest, match="needs 5 places at once, and the engine has 4") as refused:
        await pipeline.serve(replace(chat("Why?", Sampling()), n=5), CALLER, "five", Timings())
    assert refused.value.param == "n" and backend.generations == []


async def test_a_tenant_below_its_share_is_not_refused_for_anothers_queue() -> None:
    backend, pipeline = few_places()
    request = chat("Why?", Sampling())
    crowd = [await pipeline.serve(request, CALLER, f"a-{i}", Timings()) for i in range(4)]
    with pytest.raises(Overloaded):
        await pipeline.serve(request, CALLER, "a", Timings())
    other = await pipeline.serve(request, Caller("b", "tenant:b"), "b", Timings())
    for reply in (*crowd, other):
        await reply.aclose()
    assert backend.check() == []
