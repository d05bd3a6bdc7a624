"""Answers without a limit share the page budget: they grow page by page, and one that gave way goes on unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import PAGE_TOKENS, Sampling
from kvproxy.engine.cache.kv_cache import PinOutcome
from tests.engine.harness import EngineHarness, HarnessMaker
from tests.engine.tiny import prompt

PAGES = 3
"""Room for several answers of LONG tokens to begin, and for one to end."""

LONG = 250
PROMISED = 32


@pytest.fixture
def rig(rigs: HarnessMaker) -> EngineHarness:
    return rigs(pages=PAGES, allowance=PROMISED)


def test_an_open_answer_does_not_reserve_its_largest_need(rig: EngineHarness) -> None:
    one = rig.submit(prompt(1, 200), max_tokens=500).begin()
    assert rig.on_engine(lambda: one.sequence.reserved + len(one.sequence.pages)) < PAGES
    two = rig.submit(prompt(2, 200), max_tokens=500).begin()  # either may need all pages
    assert two.started is not None and one.finished is None


def test_an_answer_that_gave_way_goes_on_with_the_same_tokens(rig: EngineHarness) -> None:
    first = rig.submit(prompt(1, 200), max_tokens=LONG)
    second = rig.submit(prompt(2, 200), max_tokens=LONG)
    answers = [first.end().answer, second.end().answer]
    assert rig.engine.preemptions >= 1
    assert answers == [rig.cold(prompt(n, 200), max_tokens=LONG).answer for n in (1, 2)]
    assert [len(answer) for answer in answers] == [LONG, LONG]


def test_sampling_with_a_seed_and_penalties_goes_on_too(rig: EngineHarness) -> None:
    sampling = Sampling(temperature=0.9, top_p=0.9, frequency_penalty=0.4, seed=7, logprobs=2)
    fields: dict[str, Any] = {"max_tokens": LONG, "sampling": sampling, "seed": 7}
    streams = [rig.submit(prompt(n, 200), **fields) for n in (1, 2, 3)]
    answers = [stream.end().answer for stream in streams]
    assert rig.engine.preemptions >= 1
    assert answers == [rig.cold(prompt(n, 200), **fields).answer for n in (1, 2, 3)]


def test_its_usage_is_that_of_its_first_admission(rig: EngineHarness) -> None:
    shared = prompt(5, PAGE_TOKENS)
    rig.run(shared, max_tokens=1)
    streams = [rig.submit((*shared, *prompt(n, 20)), max_tokens=LONG) for n in (1, 2, 3)]
    usages = [stream.end().finished for stream in streams]
    assert rig.engine.preemptions >= 1
    for stream, finished in zip(streams, usages, strict=True):
        assert finished is not None and stream.started is not None
        assert finished.usage.cached_tokens == stream.started.cached_tokens == PAGE_TOKENS
        assert finished.usage.completion_tokens == LONG


def test_each_reader_hears_of_a_beginning_once(rig: EngineHarness) -> None:
    streams = [rig.submit(prompt(n, 200), max_tokens=LONG) for n in (1, 2)]
    for stream in streams:
        stream.begin()
        begun = stream.started
        stream.end()
        assert stream.started is begun
        assert stream.queue.empty()


def test_the_oldest_never_gives_way(rig: EngineHarness) -> None:
    oldest = rig.submit(prompt(1, 200), max_tokens=LONG)
    others = [rig.submit(prompt(n, 200), max_tokens=LONG) for n in (2, 3, 4)]
    oldest.end()
    assert not oldest.sequence.resumed
    assert all(len(stream.end().answer) == LONG for stream in others)


def test_one_that_left_while_it_waited_for_pages_leaves_nothing_behind(rig: EngineHarness) -> None:
    streams = [rig.submit(prompt(n, 200), max_tokens=LONG) for n in (1, 2)]
    rig.wait_for(lambda: rig.engine.preemptions > 0)
    rig.engine.cancel(streams[1].sequence)
    assert len(streams[0].end().answer) == LONG
    rig.wait_for(rig.idle)
    rig.check()


def test_where_pins_leave_no_further_page_the_answer_ends_there(rigs: HarnessMaker) -> None:
    """Nobody will give any back: it ends as one whose length is used up, not as a failure."""
    rig = rigs(pages=4, allowance=PROMISED)
    document = prompt(9, 2 * PAGE_TOKENS)
    rig.run(document, max_tokens=0, shared_end=len(document), shared_scope="public")
    with rig.cache.retain_match((*document, 1), ("public",)) as match:
        nodes = match.nodes
        assert rig.on_engine(lambda: rig.cache.pin(nodes, 2)) is PinOutcome.PINNED
    stream = rig.submit(prompt(1, 100), max_tokens=900, open_ended=True).end()
    assert stream.finished is not None and stream.finished.reason == "length"
    assert len(stream.answer) == 2 * PAGE_TOKENS - 100 + 1
    roomy = rigs()
    assert stream.answer == roomy.run(prompt(1, 100), max_tokens=len(stream.answer)).answer
    rig.on_engine(lambda: rig.cache.unpin(nodes))


def test_an_answer_within_the_allowance_has_all_its_pages_reserved(rig: EngineHarness) -> None:
    """Nothing is asked for on the way, so it never gives way."""
    seen = []
    rig.run(
        prompt(1, 250),
        max_tokens=PROMISED,
        inspect=lambda seq: seen.append(seq.room >= seq.last_position),
    )
    assert seen and all(seen)
