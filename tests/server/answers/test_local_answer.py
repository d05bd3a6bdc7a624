"""Choices of one reply by different models, which the dialects' own tests cannot reach."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from kvproxy.backends.base import Generation
from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.core import Caller, ChatRequest, Message, TextPart
from kvproxy.events import Event, Finished, ReasoningDelta, Started, TextDelta, Usage
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from kvproxy.server.answers.local_answer import events_of
from kvproxy.telemetry.request_timer import Timings
from tests.server.doubles import CharComposer


class UpstreamFirst(FakeMisses):
    """The engine had no room for the first choice, so that an upstream answered it, and has for the second."""

    async def miss(self, generation: Generation, call: dict[str, Any]) -> AsyncGenerator[Event, None]:
        if self.missed:
            async with aclosing(super().miss(generation, call)) as events:
                async for event in events:
                    yield event
            return
        self.missed.append((generation, call))
        yield Started(0, False, queue_s=0.0, load_s=0.0, prefill_s=0.0, parsed=True)
        yield TextDelta("<think> is a tag")
        yield Finished("stop", Usage(3, 4, 0))


async def test_each_choice_is_parsed_as_its_own_model_needs() -> None:
    backend = FakeBackend()
    composer = CharComposer()
    composer.reasoning = "may"
    pipeline = Pipeline(
        models=[ServedModel.of(backend, composer)], misses=UpstreamFirst(backend), default_max_tokens=64
    )
    backend.say_next("<think>\nhm\n</think>\n\nyes")
    asked = ChatRequest("fake", (Message("user", (TextPart("Is it?"),)),), n=2)
    reply = await pipeline.serve(asked, Caller("a", "tenant:a"), "id", Timings())
    texts, thoughts = ["", ""], ["", ""]
    async with aclosing(reply), aclosing(events_of(reply, asked)) as events:
        async for index, event in events:
            if isinstance(event, TextDelta):
                texts[index] += event.text
            elif isinstance(event, ReasoningDelta):
                thoughts[index] += event.text
    assert texts == ["<think> is a tag", "yes"]
    assert [thought.strip() for thought in thoughts] == ["", "hm"]
    assert backend.check() == []
