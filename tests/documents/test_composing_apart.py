"""Composing of long requests leaves the event loop, as a whole and once, to the same tokens."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenizers

from kvproxy.core import ChatRequest, Message, Prompt, TextPart, TextRequest, ToolCall
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.tokens.encoding_budget import ON_LOOP, EncodingBudget, NeedsThread
from kvproxy.documents.tokens.token_join import TokenJoiner
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import ContextTooLong, DocumentNotFound, InvalidRequest
from tests.documents.conversation import ALICE, APACHE, BOB, LOOKUP, REF, build, chat, publish

OTHERS = "Ein Satz, den niemand kennt: 世界, naïve, 3.14! " * 700
assert len(OTHERS) > ON_LOOP


@pytest.fixture
def composer(qwen3: Path) -> Composer:
    composer = build(qwen3, Tokenizer.load(qwen3))
    publish(composer, "apache", APACHE)
    return composer


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[int]]:
    """Characters that were encoded, by thread."""
    counted: Counter[int] = Counter()
    encoding = Tokenizer.encoding

    def spy(tokenizer: Tokenizer, text: str) -> tokenizers.Encoding:
        counted[threading.get_ident()] += len(text)
        return encoding(tokenizer, text)

    monkeypatch.setattr(Tokenizer, "encoding", spy)
    yield counted


@pytest.fixture
def compositions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The thread of each composition that was begun."""
    threads: list[int] = []
    compose = Composer.compose

    def spy(composer: Composer, *arguments: object) -> Prompt:
        threads.append(threading.get_ident())
        return compose(composer, *arguments)  # type: ignore[arg-type]  # a spy that passes on

    monkeypatch.setattr(Composer, "compose", spy)
    return threads


REQUESTS: list[ChatRequest | TextRequest] = [
    chat(("system", OTHERS), ("user", "Why?")),
    chat(("system", APACHE + OTHERS), ("user", OTHERS + "?"), ("assistant", "So."), ("user", OTHERS[:-9])),
    chat(("user", ["Look:", OTHERS]), ("assistant", OTHERS), ("user", "Q")),
    TextRequest("m", OTHERS * 3),
    chat(("user", APACHE + " What is it?")),
    chat(("user", [OTHERS, REF, OTHERS[5:]])),
]


@pytest.mark.parametrize("request_", REQUESTS)
async def test_the_prompt_is_the_same(composer: Composer, request_: ChatRequest | TextRequest) -> None:
    expected = composer.compose(request_, BOB)
    assert await composer.compose_async(request_, ALICE) == expected
    assert await composer.compose_async(request_, ALICE) == expected


@pytest.mark.parametrize("characters", [300, 16_383, 16_500])
async def test_the_loop_encodes_little_of_a_request_however_its_text_is_cut(
    composer: Composer, encoded: Counter[int], compositions: list[int], characters: int
) -> None:
    texts = [f"{i} {OTHERS}"[:characters] for i in range(100_000 // characters)]
    request = chat(*[("user", text) for text in texts], ("user", "Q"))
    await composer.compose_async(request, ALICE)
    assert encoded[threading.get_ident()] <= ON_LOOP
    assert len(compositions) <= 2 and compositions[-1] != threading.get_ident()


async def test_a_known_short_prompt_takes_no_thread(composer: Composer, compositions: list[int]) -> None:
    await composer.compose_async(chat(("system", APACHE), ("user", "Why? " * 99)), ALICE)
    assert compositions == [threading.get_ident()]


async def test_a_recently_sent_text_is_not_encoded_again(composer: Composer, encoded: Counter[int]) -> None:
    request = chat(("system", OTHERS), ("user", OTHERS[7:]))
    await composer.compose_async(request, ALICE)
    first = encoded.total()
    await composer.compose_async(request, ALICE)
    assert encoded.total() - first < 100
    await composer.compose_async(request, BOB)  # no scope finds another one's text
    assert encoded.total() - first > first - 100


@pytest.mark.parametrize(
    "request_",
    [
        chat(("user", "word " * 10**6)),
        chat(*(("user", "word " * 1000) for _ in range(1000))),
        chat(("user", [REF] * 2000)),
        TextRequest("m", "word " * 10**6),
        ChatRequest(
            "m",
            (
                Message("user", (TextPart("Q"),)),
                Message("assistant", (), (ToolCall("c", "f", "x" * 5_000_000),)),
            ),
        ),
    ],
    ids=["one message", "messages", "documents", "text", "arguments"],
)
async def test_a_prompt_that_cannot_fit_is_refused_before_it_is_encoded(
    composer: Composer, encoded: Counter[int], request_: ChatRequest | TextRequest
) -> None:
    with pytest.raises(ContextTooLong) as refused:
        await composer.compose_async(request_, ALICE, 4096)
    assert encoded.total() == 0
    assert "at least" in refused.value.message and refused.value.prompt_tokens > 4096


async def test_a_prompt_far_too_long_is_not_encoded_to_its_end(
    composer: Composer, encoded: Counter[int]
) -> None:
    request = chat(*[("user", f"{i} " + "a b c d e f " * 80) for i in range(400)])
    with pytest.raises(ContextTooLong):
        await composer.compose_async(request, ALICE, 30_000)
    assert 0 < encoded.total() < 300_000


@pytest.mark.parametrize(
    "text", ["word " * 3000, "x" * 9000, " " * 9000, "é" * 5000, "e\u0301" * 5000, "世界" * 4000]
)
def test_a_length_promises_no_more_tokens_than_there_are(composer: Composer, text: str) -> None:
    least = composer._tokenizer.least_tokens(text)
    assert 0 < least <= len(composer._tokenizer.encode_text(text))


def test_tools_of_other_scopes_do_not_show(composer: Composer) -> None:
    tools = composer._tools
    first = tools.of([LOOKUP], ALICE.scope)
    assert tools.of([LOOKUP], ALICE.scope) is first
    assert tools.of([LOOKUP], BOB.scope) is not first


def test_the_text_before_a_document_is_remembered_within_its_scope_alone(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    find = TokenJoiner._find_lead

    def spy(joiner: TokenJoiner, before: str, document: object) -> object:
        found.append(before)
        return find(joiner, before, document)  # type: ignore[arg-type]  # a spy that passes on

    monkeypatch.setattr(TokenJoiner, "_find_lead", spy)
    request = chat(("user", ["My own words before it.", REF, "Why?"]))
    for caller in (ALICE, ALICE, BOB):
        composer.compose(request, caller)
    assert len(found) == 2


async def test_other_prompts_are_composed_meanwhile(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt that waits for a thread delays no other prompt."""
    go, encoding = threading.Event(), Tokenizer.encoding

    def held(tokenizer: Tokenizer, text: str) -> tokenizers.Encoding:
        assert len(text) < ON_LOOP or go.wait(20)
        return encoding(tokenizer, text)

    monkeypatch.setattr(Tokenizer, "encoding", held)
    long = asyncio.create_task(composer.compose_async(REQUESTS[0], ALICE))
    await asyncio.sleep(0)
    short = chat(("user", "Hello"))
    assert await composer.compose_async(short, BOB) == composer.compose(short, BOB)
    assert not long.done()
    go.set()
    assert (await long).token_ids


async def test_errors_are_those_of_compose(composer: Composer) -> None:
    composer.library.remove(REF)
    with pytest.raises(DocumentNotFound):
        await composer.compose_async(chat(("user", [REF, OTHERS])), ALICE)


async def test_documents_come_and_go_while_prompts_are_composed(composer: Composer) -> None:
    """A version that is replaced is never away, for a thread that reads."""
    request = chat(("user", [REF, OTHERS]))
    known = composer.library.find(REF)
    assert known is not None
    tasks = [asyncio.create_task(composer.compose_async(request, ALICE)) for _ in range(8)]
    while not all(task.done() for task in tasks):
        composer.library.add(known)
        await asyncio.sleep(0)
    assert len({(await task).token_ids for task in tasks}) == 1


def test_a_budget_ends_an_encoding_beyond_it() -> None:
    budget = EncodingBudget(characters=10, limit=5)
    budget.encode(10)
    with pytest.raises(NeedsThread):
        budget.encode(1)
    budget.expect(5)
    with pytest.raises(ContextTooLong):
        budget.expect(1)
    budget.check(10)
    with pytest.raises(ContextTooLong):
        budget.check(11)


@pytest.mark.parametrize(("text", "elsewhere"), [("So it is.", False), (OTHERS, True), (OTHERS * 2, True)])
async def test_a_prediction_is_the_answers_first_tokens(
    composer: Composer, encoded: Counter[int], text: str, elsewhere: bool
) -> None:
    expected = tuple(composer.encode_prompt(text, add_special_tokens=False)[:2000])
    encoded.clear()
    assert await composer.predicted(text, 2000) == expected
    assert (threading.get_ident() not in encoded) is elsewhere


async def test_a_prediction_that_is_no_text_is_refused_by_name(composer: Composer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await composer.predicted("a\ud800", 9)
    assert caught.value.param == "prediction.content"


async def test_no_more_of_a_prediction_is_encoded_than_is_of_use(composer: Composer) -> None:
    assert await composer.predicted("word " * 10**6, 50) == await composer.predicted("word " * 100, 50)
