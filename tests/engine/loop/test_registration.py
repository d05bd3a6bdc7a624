"""Registration of a request's pages: later requests find the positions that it keeps, and wait for no others."""

from __future__ import annotations

import pytest

from kvproxy.core import PAGE_TOKENS
from tests.engine.harness import EngineHarness, HarnessMaker, Stream
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import prompt

TOKENS = prompt(21, 1000)


def written(stream: Stream) -> int:
    """The number of tokens that it kept, which its first and its last event must both say."""
    assert stream.started is not None and stream.finished is not None, stream.error
    usage = stream.finished.usage
    said = (stream.started.cached_tokens, stream.started.cache_write_tokens)
    assert said == (usage.cached_tokens, usage.cache_write_tokens)
    assert sum(said) <= usage.prompt_tokens
    return usage.cache_write_tokens


@pytest.mark.parametrize("until", [0, 1, 100, 256, 300, 512, 999, 1000, 5000])
def test_other_requests_find_the_positions_before_keep_until_and_no_more(
    rig: EngineHarness, until: int
) -> None:
    first = rig.run(TOKENS, max_tokens=20, keep_until=until)
    assert written(first) == min(until, 1000)
    again = rig.run((*TOKENS, *first.answer, 5), keep_until=0)
    assert again.cached == min(until, 1019)
    assert written(again) == 0
    assert again.answer == rig.cold((*TOKENS, *first.answer, 5)).answer
    rig.check()


def test_pages_registered_before_stay(rig: EngineHarness) -> None:
    rig.run(TOKENS[:600], max_tokens=0)
    second = rig.run(TOKENS, keep_until=300)
    assert second.cached == 600 and written(second) == 0
    assert rig.run(TOKENS, keep_until=0).cached == 600
    third = rig.run(TOKENS, keep_until=700)
    assert third.cached == 600 and written(third) == 100
    assert rig.run(TOKENS).cached == 700


def test_an_end_inside_a_page_is_found_while_the_rest_of_the_page_is_used(rig: EngineHarness) -> None:
    """The page of the kept positions goes on being written by its owner."""
    first = rig.submit(TOKENS[:290], max_tokens=60, keep_until=270).begin()
    reader = rig.run((*TOKENS[:280], 1), keep_until=0)
    assert reader.cached == 270
    assert reader.answer == rig.cold((*TOKENS[:280], 1)).answer
    assert first.end().answer == rig.cold(TOKENS[:290], max_tokens=60).answer


@pytest.mark.parametrize(("until", "shared"), [(0, 0), (200, 0), (300, 300), (768, 768), (None, 999)])
def test_followers_wait_for_registered_positions_alone(
    rigs: HarnessMaker, stepped: SteppedModel, until: int | None, shared: int
) -> None:
    rig = rigs(stepped.model)
    cold = rig.cold(TOKENS).answer
    stepped.hold()
    leader = rig.submit(TOKENS, keep_until=until)
    follower = rig.submit(TOKENS, keep_until=0)
    stepped.go()
    assert leader.end().answer == cold and follower.end().answer == cold
    assert leader.cached == 0
    assert written(leader) == (1000 if until is None else until) and written(follower) == 0
    assert follower.started is not None
    # Less than a page is not worth waiting for.
    assert follower.started.collapsed == (shared >= PAGE_TOKENS)
    assert follower.cached == shared or (shared < PAGE_TOKENS and follower.cached in (0, until))


def test_unregistered_positions_are_not_counted_as_written(rig: EngineHarness) -> None:
    assert written(rig.cold(TOKENS)) == 0


def test_a_cancelled_request_registers_no_more_than_it_keeps(rig: EngineHarness) -> None:
    stream = rig.submit(TOKENS, max_tokens=500, keep_until=300).begin()
    rig.engine.cancel(stream.sequence)
    rig.wait_for(rig.idle)
    assert rig.run(TOKENS, keep_until=0).cached == 300


def test_four_choices_of_one_prompt_share_one_prefill(rigs: HarnessMaker, stepped: SteppedModel) -> None:
    rig = rigs(stepped.model)
    stepped.hold()
    before = stepped.rows
    rig.submit(prompt(99, 30), scope="z")  # Keeps the engine busy until all have arrived.
    streams = [rig.submit(TOKENS, max_tokens=10, speculate=False) for _ in range(4)]
    stepped.go()
    answers = [s.end().answer for s in streams]
    rig.settle()
    assert stepped.rows - before == 1000 + 3 * 1 + 4 * 9 + 33, (
        "the last token of a prompt is computed by each"
    )
    assert len({tuple(a) for a in answers}) == 1
    assert [s.cached for s in streams] == [0, 999, 999, 999]
    assert [written(s) for s in streams] == [1000, 1, 1, 1]
