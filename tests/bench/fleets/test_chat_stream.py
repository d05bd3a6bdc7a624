from __future__ import annotations

import asyncio

import aiohttp
import pytest

from kvproxy.bench.fleets.chat_stream import ChatTarget, StreamedAnswer, ask_streamed, replay
from kvproxy.bench.fleets.reading_trace import ReadingStep
from kvproxy.bench.load import WrongAnswer
from tests.bench.fleets.conftest import SERVED

MESSAGES = [{"role": "system", "content": "one two three " * 40}, {"role": "user", "content": "Why?"}]


async def ask(url: str, model: str = SERVED, **fields: str) -> StreamedAnswer:
    target = ChatTarget("replica", url, model, fields=fields)
    async with aiohttp.ClientSession() as http:
        return await ask_streamed(http, target, MESSAGES, max_tokens=3, session="s")


async def test_the_second_answer_comes_from_the_cache(fake_urls: list[str]) -> None:
    cold, warm = [await ask(fake_urls[0], cache_salt="chat-stream") for _ in range(2)]
    assert cold.cached_tokens == 0
    assert warm.cached_tokens == (warm.prompt_tokens - 1) // 16 * 16 > 0
    assert cold.text == warm.text != ""
    assert 0 < warm.first_s <= warm.total_s


async def test_a_refusal_is_named(fake_urls: list[str]) -> None:
    with pytest.raises(WrongAnswer, match="replica answered with status 404"):
        await ask(fake_urls[0], model="another")
    with pytest.raises(WrongAnswer, match="replica did not answer"):
        await ask("http://127.0.0.1:9")


def steps(count: int) -> list[ReadingStep]:
    return [ReadingStep("s", number, "Why?") for number in range(count)]


async def test_answers_stand_in_the_order_of_their_steps() -> None:
    open_now, most = 0, 0

    async def answer(step: ReadingStep) -> StreamedAnswer:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        for _ in range(7 - step.document):  # later ones end first
            await asyncio.sleep(0)
        open_now -= 1
        return StreamedAnswer("t", 0.0, 0.0, step.document, 0, "", "")

    found = await replay(steps(7), 3, answer)
    assert [one.prompt_tokens for one in found] == list(range(7))
    assert most == 3


async def test_the_first_failure_ends_all() -> None:
    async def fail(step: ReadingStep) -> StreamedAnswer:
        raise WrongAnswer(f"no answer to {step.document}")

    with pytest.raises(WrongAnswer, match="no answer to 0"):
        await replay(steps(4), 2, fail)
