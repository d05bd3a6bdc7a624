from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from kvproxy.backends.base import EngineInfo, Generation
from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import Caller, Prompt, Sampling
from kvproxy.core.prefill_progress import PrefillProgress
from kvproxy.errors import ContextTooLong, Overloaded
from kvproxy.events import Event
from kvproxy.generations import all_choices, first_event, fit_sampling, most_tokens, vary_sampling
from kvproxy.telemetry.request_timer import Timings

INFO = EngineInfo("m", 1000, 256, 2000, exact=True)
PROMPT = Prompt(tuple(range(800)))


@pytest.mark.parametrize(
    ("wanted", "default", "most"), [(50, None, 50), (5000, None, 200), (None, 64, 64), (None, None, 200)]
)
def test_an_answer_fits_into_the_room_that_is_left(
    wanted: int | None, default: int | None, most: int
) -> None:
    sampling = Sampling(max_tokens=wanted)
    assert most_tokens(PROMPT, sampling, INFO, default) == most
    fitted = fit_sampling(PROMPT, sampling, INFO, default)
    assert fitted.max_tokens == (None if wanted is default is None else most)


def test_a_prompt_that_leaves_little_room_is_refused() -> None:
    with pytest.raises(ContextTooLong):
        most_tokens(Prompt(tuple(range(990))), Sampling(max_tokens=500), INFO, None)


def test_choices_differ_and_are_repeatable() -> None:
    assert vary_sampling(Sampling(seed=2**63 - 1), 1).seed == -(2**63)
    assert vary_sampling(Sampling(), 1) == Sampling()


async def test_further_choices_follow_no_progress_and_are_closed_by_a_failure() -> None:
    backend = FakeBackend()
    generation = Generation("r", Prompt((1, 2, 3)), Sampling(max_tokens=3), Caller("a", "tenant:a"))
    generation = replace(generation, progress=PrefillProgress())
    first: AsyncGenerator[Event, None] = backend.generate(generation)
    started = await first_event(first, Timings())
    choices, parsed = await all_choices(first, started, generation, 3, backend.generate, Timings())
    assert [g.request_id for g in backend.generations] == ["r", "r-1", "r-2"]
    assert [g.progress is None for g in backend.generations] == [False, True, True]
    assert parsed == [False, False, False]
    for choice in choices:
        await choice.aclose()
    first = backend.generate(generation)
    started = await first_event(first, Timings())
    backend.fail_next(Overloaded("busy"))
    with pytest.raises(Overloaded):
        await all_choices(first, started, generation, 2, backend.generate, Timings())
    assert backend.check() == []
