"""One pipeline with two served models, which have other tokens, documents, contexts and backends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace

import pytest

from kvproxy.backends.base import PageLookup
from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.charging.charge_requests import Offer
from kvproxy.charging.fake_charging import FakeCharging
from kvproxy.core import (
    PUBLIC,
    Caller,
    ChatRequest,
    DocumentRef,
    Hit,
    Message,
    Miss,
    Prompt,
    Sampling,
    TextPart,
)
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.core.requests import CacheHints
from kvproxy.errors import ContextTooLong, ModelNotFound, NotReady
from kvproxy.pipeline import Pipeline
from kvproxy.reply import Reply
from kvproxy.served_model import ServedModel, ServedModels
from kvproxy.telemetry.request_timer import Timings
from tests.charging.prices import PLENTY, TARIFF
from tests.server.doubles import CharComposer

CALLER = Caller("a", "tenant:a")
DOCUMENT = DocumentRef("handbook", 1)
TEXT = "The handbook. " * 30


class Served:
    """Two models behind one pipeline."""

    def __init__(self) -> None:
        self.near, self.far = FakeBackend(model="near"), FakeBackend(model="far", max_context=1024)
        self.composers = {"near": CharComposer(), "far": CharComposer()}
        self.misses = FakeMisses(self.near, others={"far": self.far})
        self.pipeline = Pipeline(
            models=[
                ServedModel.of(self.near, self.composers["near"]),
                ServedModel.of(self.far, self.composers["far"]),
            ],
            misses=self.misses,
            default_max_tokens=8,
        )

    async def reply(self, request: ChatRequest, id: str) -> Reply:
        reply = await self.pipeline.serve(request, CALLER, id, Timings())
        async with aclosing(reply):
            for choice in reply.choices:
                async for _ in choice:
                    pass
        assert self.near.check() == self.far.check() == []
        return reply


def chat(model: str, text: str = "why?", n: int = 1) -> ChatRequest:
    return ChatRequest(model, (Message("user", (TextPart(text),)),), Sampling(max_tokens=4), n=n)


@pytest.fixture
def served() -> Served:
    return Served()


async def test_the_request_s_model_answers(served: Served) -> None:
    await served.reply(chat("far"), "1")
    assert [g.request_id for g in served.far.generations] == ["1"] and not served.near.generations
    await served.reply(chat("near"), "2")
    assert [g.request_id for g in served.near.generations] == ["2"]
    assert [g.model for g, _ in served.misses.missed] == ["far", "near"]


async def test_a_document_of_one_model_is_no_hit_of_the_other(served: Served) -> None:
    text = served.composers["near"].texts
    text[DOCUMENT] = TEXT
    served.composers["far"].texts[DOCUMENT] = TEXT
    await served.near.keep(served.composers["near"].framing(TEXT), PUBLIC)
    asking = Message("system", (TextPart(TEXT),)), Message("user", (TextPart("why?"),))
    hit = await served.reply(replace(chat("near"), messages=asking), "1")
    miss = await served.reply(replace(chat("far"), messages=asking), "2")
    assert isinstance(hit.decision, Hit) and isinstance(miss.decision, Miss)


async def test_each_model_has_its_own_context(served: Served) -> None:
    long = "word " * 300
    await served.reply(chat("near", long), "1")
    with pytest.raises(ContextTooLong, match="1024"):
        await served.reply(chat("far", long), "2")


async def test_a_model_that_is_not_ready_refuses_alone(served: Served) -> None:
    served.far.not_ready = "no replica is up"
    with pytest.raises(NotReady, match="`far` is not ready: no replica is up"):
        await served.reply(chat("far"), "1")
    await served.reply(chat("near"), "2")


async def test_an_unknown_model_is_told_the_known_ones(served: Served) -> None:
    with pytest.raises(ModelNotFound, match="`near`, `far`"):
        await served.reply(chat("third"), "1")


class Choosing(FakeBackend):
    """A backend whose lookups choose a replica."""

    def __init__(self, choice: ReplicaChoice) -> None:
        super().__init__(model="fleet")
        self._choice = choice

    @contextmanager
    def hold(self, prompt: Prompt, caller: Caller) -> Iterator[PageLookup]:
        with super().hold(prompt, caller) as lookup:
            yield replace(lookup, choice=self._choice)


@pytest.mark.parametrize("published", [False, True])
async def test_every_choice_goes_to_the_replica_of_its_lookup(published: bool) -> None:
    choice = ReplicaChoice("replica-2", "handbook@1")
    backend, composer = Choosing(choice), CharComposer()
    composer.texts[DOCUMENT] = TEXT
    if published:
        await backend.keep(composer.framing(TEXT), PUBLIC)
    pipeline = Pipeline(models=[ServedModel.of(backend, composer)], misses=FakeMisses(backend))
    asking = Message("system", (TextPart(TEXT),)), Message("user", (TextPart("why?"),))
    request = replace(chat("fleet", n=3), messages=asking)
    reply = await pipeline.serve(request, CALLER, "1", Timings())
    await reply.aclose()
    assert isinstance(reply.decision, Hit) is published
    assert [g.choice for g in backend.generations] == [choice] * 3


def test_two_models_of_one_name_are_no_models() -> None:
    model = ServedModel.of(FakeBackend(), CharComposer())
    with pytest.raises(ValueError, match="one name"):
        ServedModels([model, model])


def test_without_models_there_is_no_primary() -> None:
    with pytest.raises(ModelNotFound):
        ServedModels([]).primary  # noqa: B018  the property raises


async def test_several_prompts_are_quoted_as_they_are_looked_up(served: Served) -> None:
    """Under the request's own salt, and under one of no other prompt where a fleet may keep nothing of it."""
    charging, looked = FakeCharging(TARIFF, PLENTY), list[Caller]()

    class Looking(FakeBackend):
        @contextmanager
        def hold(self, prompt: Prompt, caller: Caller) -> Iterator[PageLookup]:
            looked.append(caller)
            with super().hold(prompt, caller) as found:
                yield found

    fleet = Looking(model="far")
    fleet.info = replace(fleet.info, fleet=True)
    models = [ServedModel.of(fleet, served.composers["far"])]
    pipeline = Pipeline(models=models, misses=served.misses, charging=charging)
    hints = (CacheHints(salt="mine"), CacheHints(retain=False), CacheHints())
    parts = {str(n): replace(chat("far"), cache=cache) for n, cache in enumerate(hints)}
    await pipeline.order(pipeline.bill(CALLER, "1", Offer()), parts, CALLER)
    for prompt in charging.orders[0].prompts:
        assert prompt.expected is not None
        prompt.expected()
    assert looked[0] == CALLER.salted(hints[0]) and looked[2] == CALLER
    assert looked[1].salt is not None and looked[1].scope == CALLER.scope
