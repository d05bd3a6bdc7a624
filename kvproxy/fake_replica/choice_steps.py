"""`choice_steps`: the tokens of one request's choices, in the order in which the engine says them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from kvproxy.fake_replica.fake_engine import EnginePrompt, FakeEngine
from kvproxy.fake_replica.fake_generation import AnswerStep, FakeGeneration


@dataclass(frozen=True, slots=True)
class ChoiceStep:
    """One token of one choice."""

    index: int
    step: AnswerStep
    last: bool
    cached_tokens: int
    """Tokens of this choice's prompt that were cached."""


async def choice_steps(
    engine: FakeEngine, prompt: EnginePrompt, answers: Sequence[FakeGeneration]
) -> AsyncGenerator[ChoiceStep, None]:
    """Run ``answers`` as requests of their own, as vLLM does with n. Closing frees what they hold.

    Example: ``steps = choice_steps(engine, EnginePrompt((1, 2)), [answer])``
    """
    if len(answers) == 1:
        async for one in _one(engine, prompt, answers[0], 0):
            yield one
        return
    said: asyncio.Queue[ChoiceStep | None] = asyncio.Queue()

    async def run(index: int, answer: FakeGeneration) -> None:
        try:
            async for one in _one(engine, prompt, answer, index):
                said.put_nowait(one)
                await asyncio.sleep(0)
        finally:
            said.put_nowait(None)

    running = [asyncio.create_task(run(index, answer)) for index, answer in enumerate(answers)]
    try:
        left = len(running)
        while left:
            if (told := await said.get()) is not None:
                yield told
            else:
                left -= 1
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _one(
    engine: FakeEngine, prompt: EnginePrompt, answer: FakeGeneration, index: int
) -> AsyncIterator[ChoiceStep]:
    async with engine.request(prompt, answer) as request:
        number = 0
        async for step in request.tokens():
            number += 1
            yield ChoiceStep(index, step, number == len(answer.steps), request.cached_tokens)
