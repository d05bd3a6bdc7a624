"""Learned texts as documents: published for their tenant alone, bounded, deleted for good, promoted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from kvproxy.core import CacheHints, Caller, ChatRequest, DocumentRef, Message, TextPart
from kvproxy.errors import DocumentNotFound
from kvproxy.learning.learned_texts import LearnedTexts, LearningPolicy
from kvproxy.learning.text_learner import TextLearner
from tests.test_publish import ALICE, BOB, FRAMINGS, Shop, folder

__all__ = ["folder"]

NOW = 1_800_000_000.0


def manual(name: str) -> str:
    return "".join(
        f"{name} {n}: everyone does what clause {n + 1} says, and nothing else.\n" for n in range(80)
    )


def asked(text: str, question: str, cache: CacheHints | None = None) -> ChatRequest:
    system = Message("system", (TextPart(f"{text}\nAnswer briefly: {question}"),))
    return ChatRequest("fake", (system, Message("user", (TextPart(question),))), cache=cache or CacheHints())


class Learning:
    """A shop whose requests are learned from; ``now`` is its clock."""

    def __init__(self, shop: Shop, most: int = 3) -> None:
        self.shop, self.now = shop, NOW
        self.texts = LearnedTexts(
            shop.publisher,
            TextLearner(),
            shop.publisher.reads,
            LearningPolicy(most_documents=most, ttl_s=1000.0),
            clock=lambda: self.now,
        )

    def ask(self, request: ChatRequest, caller: Caller = ALICE) -> None:
        self.texts.note(request, self.shop.composer.compose(request, caller), caller)

    async def learn(self, text: str, caller: Caller = ALICE, questions: str = "AB") -> None:
        before = await self.ids(caller)
        for question in questions:
            self.ask(asked(text, question), caller)
        await until(lambda: self.texts.idle)
        self.learned = [id for id in await self.ids(caller) if id not in before]

    async def ids(self, caller: Caller = ALICE) -> list[str]:
        return [i.id for i in await self.shop.publisher.list(caller) if i.origin == "learned"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  a task of the code under test changes it
            await asyncio.sleep(0.002)


@pytest.fixture
async def learning(folder: Path, tmp_path: Path) -> AsyncIterator[Learning]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    learning = Learning(shop)
    running = asyncio.create_task(learning.texts.run())
    yield learning
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert shop.registry.check() == [] and shop.backend.check() == []
    shop.close()


async def test_the_second_reader_makes_it_the_tenants_own_document(learning: Learning) -> None:
    text = manual("Clause")
    await learning.learn(text, questions="A")
    assert learning.learned == []
    await learning.learn(text, questions="B")
    [id] = learning.learned
    assert id.startswith("learned/") and await learning.ids(BOB) == []
    found = await learning.shop.publisher.text(DocumentRef(id), ALICE)
    assert text.startswith(found) and len(text) - len(found) < 700
    assert learning.shop.cached(text, ALICE) > 256 > learning.shop.cached(text, BOB)
    with pytest.raises(DocumentNotFound):
        await learning.shop.publisher.get(DocumentRef(id), BOB)


async def test_salted_and_unretained_requests_teach_nothing(learning: Learning) -> None:
    text = manual("Secret")
    for question in "ABC":
        learning.ask(asked(text, question, CacheHints(salt="mine")))
        learning.ask(asked(text, question), Caller("ann", "tenant:ann", retain=False))
    await until(lambda: learning.texts.idle)
    assert await learning.ids() == [] and await learning.ids(Caller("ann", "tenant:ann")) == []


async def test_a_tenant_has_so_many_and_the_one_read_longest_ago_gives_way(learning: Learning) -> None:
    ids = []
    for name in ("One", "Two", "Three"):
        await learning.learn(manual(name))
        ids += learning.learned
    for id in (ids[0], ids[2]):
        ref = learning.shop.library.resolve(DocumentRef(id), ALICE).document.ref
        prompt = learning.shop.composer.compose(asked(manual("One" if id == ids[0] else "Three"), "C"), ALICE)
        assert prompt.documents[0].document == ref
        learning.shop.publisher.reads.note(prompt.documents, 10_000)
    await learning.learn(manual("Four"))
    assert set(await learning.ids()) == {ids[0], ids[2], *learning.learned}


async def test_what_nobody_reads_is_dropped_and_may_be_learned_again(learning: Learning) -> None:
    await learning.learn(manual("Clause"))
    [id] = learning.learned
    known = learning.shop.library.resolve(DocumentRef(id), ALICE)
    learning.now = known.document.created + 900.0
    await learning.texts.sweep()
    assert await learning.ids() == [id]
    learning.now += 200.0
    await learning.texts.sweep()
    assert await learning.ids() == []
    await learning.learn(manual("Clause"), questions="CD")
    assert learning.learned == [id]


async def test_what_its_owner_deletes_is_not_learned_again(learning: Learning) -> None:
    await learning.learn(manual("Clause"))
    [id] = learning.learned
    await learning.texts.delete(DocumentRef(id), ALICE)
    await learning.learn(manual("Clause"), questions="CDE")
    assert await learning.ids() == []


async def test_a_learned_text_is_promoted_to_a_document(learning: Learning) -> None:
    await learning.learn(manual("Clause"))
    [id] = learning.learned
    text = await learning.shop.publisher.text(DocumentRef(id), ALICE)
    done = await learning.texts.promote(DocumentRef(id), "clauses", "public", ALICE)
    assert (done.info.id, done.info.origin, done.info.visibility) == ("clauses", "published", "public")
    assert await learning.shop.publisher.text(DocumentRef("clauses"), BOB) == text
    assert await learning.ids() == []
    with pytest.raises(DocumentNotFound):
        await learning.texts.promote(DocumentRef("clauses"), "again", None, ALICE)
    with pytest.raises(DocumentNotFound):
        await learning.texts.promote(DocumentRef(id), "again", None, BOB)


async def test_reads_outlive_a_restart(learning: Learning) -> None:
    await learning.learn(manual("Clause"))
    [id] = learning.learned
    shop = learning.shop
    prompt = shop.composer.compose(asked(manual("Clause"), "C"), ALICE)
    shop.publisher.reads.note(prompt.documents, 300)
    await shop.publisher.reads.write()
    again = shop.reopen()
    await again.publisher.restore()
    info = await again.publisher.get(DocumentRef(id), ALICE)
    assert (info.reads, info.origin) == (1, "learned")
    assert 0 < info.saved_tokens <= 300 and info.last_read is not None
    again.publisher.close()
