"""Long texts are encoded while the event loop serves others, to the same tokens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from pathlib import Path

import pytest

from kvproxy.core import ChatRequest, Prompt, TextRequest
from kvproxy.documents.compose import Composer
from kvproxy.documents.late import LEAST, LateTexts, Pending
from kvproxy.documents.tokenizer import Tokenizer
from kvproxy.errors import DocumentNotFound, InvalidRequest
from tests.documents.conversation import ALICE, APACHE, BOB, REF, build, chat, publish

OTHERS = "Ein Satz, den niemand kennt: 世界, naïve, 3.14! " * 700
assert len(OTHERS) > LEAST


@pytest.fixture
def composer(qwen3: Path) -> Composer:
    composer = build(qwen3, Tokenizer.load(qwen3))
    publish(composer, "apache", APACHE)
    return composer


@pytest.fixture
def encoding_threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each text that was encoded late."""
    threads: list[int] = []

    def spy(late: LateTexts, pending: Pending, found: object) -> None:
        threads.append(worked.pop())
        put(late, pending, found)

    def begin(pending: Pending, key: Hashable, work: Callable[[], object]) -> None:
        def noted() -> object:
            worked.append(threading.get_ident())
            return work()

        init(pending, key, noted)

    put, init, worked = LateTexts.put, Pending.__init__, list[int]()
    monkeypatch.setattr(LateTexts, "put", spy)
    monkeypatch.setattr(Pending, "__init__", begin)
    return threads


def reference(composer: Composer, request: ChatRequest | TextRequest) -> Prompt:
    """As somebody gets it whose texts are not remembered for ALICE."""
    return composer.compose(request, BOB)


REQUESTS: list[ChatRequest | TextRequest] = [
    chat(("system", OTHERS), ("user", "Why?")),
    chat(("system", APACHE + OTHERS), ("user", OTHERS + "?"), ("assistant", "So."), ("user", OTHERS[:-9])),
    chat(("user", ["Look:", OTHERS]), ("assistant", OTHERS), ("user", "Q")),
    TextRequest("m", OTHERS * 9),
    chat(("user", APACHE + " What is it?")),
    chat(("user", [OTHERS, REF, OTHERS[5:]])),
]


@pytest.mark.parametrize("request_", REQUESTS)
async def test_the_prompt_is_the_same(composer: Composer, request_: ChatRequest | TextRequest) -> None:
    expected = reference(composer, request_)
    assert await composer.composed(request_, ALICE) == expected
    assert await composer.composed(request_, ALICE) == expected


async def test_long_texts_are_encoded_elsewhere_once(composer: Composer, encoding_threads: list[int]) -> None:
    request = chat(("system", OTHERS), ("user", OTHERS[7:]))
    await composer.composed(request, ALICE)
    assert len(encoding_threads) == 2 and threading.get_ident() not in encoding_threads
    await composer.composed(request, ALICE)
    assert len(encoding_threads) == 2
    await composer.composed(request, BOB)  # nobody finds what another one sent
    assert len(encoding_threads) == 4


async def test_texts_that_no_memo_holds_are_encoded_once_for_a_prompt(
    composer: Composer, encoding_threads: list[int]
) -> None:
    await composer.composed(chat(("system", OTHERS * 9), ("user", OTHERS)), ALICE)
    assert len(encoding_threads) == 2


async def test_a_long_text_before_a_document_is_joined_to_it_elsewhere(
    composer: Composer, encoding_threads: list[int]
) -> None:
    await composer.composed(chat(("user", [OTHERS, REF, "Why?"])), ALICE)
    assert encoding_threads and threading.get_ident() not in encoding_threads


async def test_short_and_known_texts_take_no_thread(composer: Composer, encoding_threads: list[int]) -> None:
    await composer.composed(chat(("system", APACHE), ("user", "Why? " * 99)), ALICE)
    assert encoding_threads == []


async def test_others_compose_meanwhile(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who waits for a thread keeps nobody from composing, nor makes them wait for one."""
    init, go = Pending.__init__, threading.Event()

    def begin(pending: Pending, key: Hashable, work: Callable[[], object]) -> None:
        def held() -> object:
            assert go.wait(20)
            return work()

        init(pending, key, held)

    monkeypatch.setattr(Pending, "__init__", begin)
    long = asyncio.create_task(composer.composed(REQUESTS[0], ALICE))
    await asyncio.sleep(0)
    short = chat(("user", "Hello"))
    assert await composer.composed(short, BOB) == reference(composer, short)
    assert composer.compose(REQUESTS[2], BOB).token_ids  # and in one go, where there is no loop to spare
    assert not long.done()
    go.set()
    assert await long == reference(composer, REQUESTS[0])


async def test_errors_are_those_of_compose(composer: Composer) -> None:
    composer.library.remove(REF)
    with pytest.raises(DocumentNotFound):
        await composer.composed(chat(("user", [REF, OTHERS])), ALICE)


def test_what_was_not_encoded_is_asked_for() -> None:
    late = LateTexts()
    with pytest.raises(Pending) as pending:
        late.get("text", lambda: 7)
    late.put(pending.value, pending.value.work())
    assert late.get("text", lambda: 8) == 7


@pytest.mark.parametrize(("text", "elsewhere"), [("So it is.", False), (OTHERS, True), (OTHERS * 9, True)])
async def test_a_prediction_is_the_answers_first_tokens(
    composer: Composer, monkeypatch: pytest.MonkeyPatch, text: str, elsewhere: bool
) -> None:
    expected = tuple(composer.encode_prompt(text, add_special_tokens=False)[:2000])
    encode, threads = Tokenizer.encode_text, []

    def spy(tokenizer: Tokenizer, text: str) -> list[int]:
        threads.append(threading.get_ident())
        return encode(tokenizer, text)

    monkeypatch.setattr(Tokenizer, "encode_text", spy)
    assert await composer.predicted(text, 2000) == expected
    assert [thread != threading.get_ident() for thread in threads] == [elsewhere]


async def test_a_prediction_that_is_no_text_is_refused_by_name(composer: Composer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await composer.predicted("a\ud800", 9)
    assert caught.value.param == "prediction.content"


async def test_no_more_of_a_prediction_is_encoded_than_is_of_use(composer: Composer) -> None:
    assert await composer.predicted("word " * 10**6, 50) == await composer.predicted("word " * 100, 50)
