"""Requests that wait in the queue while a document of theirs is withdrawn. On a fake backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from kvproxy.backends.fake.fake_backend import FakeMisses
from kvproxy.core import (
    ChatRequest,
    DocumentPart,
    DocumentRef,
    Hit,
    Message,
    Miss,
    MissReason,
    Sampling,
    TextPart,
)
from kvproxy.errors import DocumentRevoked
from kvproxy.events import Finished
from kvproxy.pipeline import Pipeline
from kvproxy.reply import Reply
from kvproxy.served_model import ServedModel
from kvproxy.telemetry.request_timer import Timings
from tests.documents.models import write_model
from tests.server.doubles import eventually
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop

RULES = DocumentRef("rules", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


@pytest.fixture
async def shop(folder: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    await shop.publish("rules", TEXT)
    yield shop
    assert shop.backend.check() == [] and shop.registry.check() == []
    assert not shop.backend.running, "nothing of a refused request goes on"
    shop.close()


def asking(part: DocumentPart | TextPart) -> ChatRequest:
    messages = (Message("system", (part,)), Message("user", (TextPart("Why?"),)))
    return ChatRequest("fake", messages, Sampling(max_tokens=4))


def served(shop: Shop, part: DocumentPart | TextPart) -> asyncio.Task[Reply]:
    """A request that waits at the engine's gate."""
    misses = FakeMisses(shop.backend)
    pipeline = Pipeline(
        models=[ServedModel.of(shop.backend, shop.composer)], misses=misses, default_max_tokens=8
    )
    shop.backend.gate = asyncio.Event()
    return asyncio.create_task(pipeline.serve(asking(part), BOB, "id-1", Timings()))


async def waiting(shop: Shop, count: int = 1) -> None:
    await eventually(lambda: len(shop.backend.generations) == count)


async def answered(reply: Reply) -> int:
    """Read an answer to its end; the number of cached tokens."""
    async with aclosing(reply):
        async for event in reply.choices[0]:
            if isinstance(event, Finished):
                return event.usage.cached_tokens
    raise AssertionError("it did not end")


async def test_a_request_that_names_a_revoked_document_does_not_begin(shop: Shop) -> None:
    request = served(shop, DocumentPart(RULES))
    await waiting(shop)
    await shop.publisher.endings.revoke(RULES, ALICE, "wrong")
    with pytest.raises(DocumentRevoked, match="wrong"):
        await asyncio.wait_for(request, 10)


async def test_a_miss_that_names_a_revoked_document_does_not_begin(shop: Shop) -> None:
    await shop.publisher.quarantine.confine({RULES: "its pages differ"})
    request = served(shop, DocumentPart(RULES))
    await waiting(shop)
    await shop.publisher.endings.revoke(RULES, ALICE, "wrong")
    with pytest.raises(DocumentRevoked, match="wrong"):
        await asyncio.wait_for(request, 10)


async def test_who_sent_the_text_is_answered_from_it_and_not_from_what_was_kept(shop: Shop) -> None:
    request = served(shop, TextPart(TEXT))
    await waiting(shop)
    await shop.publisher.endings.revoke(RULES, ALICE, "wrong")
    await waiting(shop, 2)
    assert shop.backend.gate is not None
    shop.backend.gate.set()
    reply = await asyncio.wait_for(request, 10)
    assert reply.decision == Miss(MissReason.NOT_RESIDENT, RULES)
    assert await answered(reply) == 0


async def test_a_request_that_has_begun_goes_on(shop: Shop) -> None:
    request = served(shop, DocumentPart(RULES))
    assert shop.backend.gate is not None
    shop.backend.gate.set()
    reply = await asyncio.wait_for(request, 10)
    await shop.publisher.endings.revoke(RULES, ALICE, "wrong")
    assert isinstance(reply.decision, Hit) and await answered(reply) > 500
