from __future__ import annotations

from pathlib import Path

import aiohttp

from kvproxy.bench.fleets.chat_stream import ChatTarget, ask_streamed
from kvproxy.bench.fleets.prompt_sizes import PromptSizes, best_possible_rate, measure_prompts
from kvproxy.bench.fleets.reading_trace import ReadingPlan, ReadingStep, make_reading_trace
from tests.bench.fleets.conftest import SERVED

PLAN = ReadingPlan(requests=4, documents=2, median_tokens=120, least_tokens=100, most_tokens=150)


async def test_sizes_are_those_of_a_replica(smollm2: Path, fake_urls: list[str]) -> None:
    trace = make_reading_trace(PLAN, ["alpha", "beta", "gamma", "delta"])
    sizes = measure_prompts(trace, trace.steps, smollm2)
    target = ChatTarget("replica", fake_urls[0], SERVED, fields={"cache_salt": "sizes"})
    async with aiohttp.ClientSession() as http:
        for step, tokens in zip(trace.steps, sizes.prompts, strict=True):
            answer = await ask_streamed(http, target, trace.messages(step), max_tokens=1)
            assert answer.prompt_tokens == tokens > sizes.documents[step.document] > 80
            assert answer.cached_tokens in (0, sizes.documents[step.document] // 16 * 16)


def test_the_bound_is_every_second_read_of_what_fits() -> None:
    steps = [ReadingStep("s", number % 2, "") for number in range(4)]
    sizes = PromptSizes(documents=(32, 32), prompts=(40,) * 4)
    assert best_possible_rate(steps, sizes, counted=2, block_tokens=16, blocks=12) == 64 / 80
    assert best_possible_rate(steps, sizes, counted=4, block_tokens=16, blocks=12) == 64 / 160
    assert best_possible_rate(steps, sizes, counted=2, block_tokens=16, blocks=2) == 32 / 80
