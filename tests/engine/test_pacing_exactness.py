"""Bits do not depend on the tiles that prompts are cut into, on their pauses, or on other sequences.

The tiles are cut by dice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.sequence import Phase
from kvproxy.engine.tiling.numerics import Numerics
from tests.engine.harness import EngineHarness, make_harness
from tests.engine.tiny import prompt


class Whim(Pace):
    """Any number of rows, any rest: decided by dice."""

    def __init__(self) -> None:
        super().__init__()
        self.dice = random.Random(0)
        self.sizes: set[int] = set()
        self.rests = 0

    def may_ride(self, rows: int, reach: int) -> bool:
        return self.dice.random() < 0.7

    def slice_s(self, spent_s: float, *, owed: bool = False) -> float:
        self.rests += 1
        return self.dice.choice((0.0, 0.0, 10.0))

    def rows(self, numerics: Numerics, start: int, *, streams: bool) -> int:
        rows = self.dice.choice((1, 3, 7, 16, 30, 64, 65, 129, 200, numerics.largest))
        self.sizes.add(min(rows, numerics.largest))
        return min(rows, numerics.largest)


@pytest.fixture
def whim() -> Whim:
    return Whim()


@pytest.fixture
def whimsical(any_model: TileModel, vocabulary: Vocabulary, whim: Whim) -> Iterator[EngineHarness]:
    rig = make_harness(any_model, vocabulary, pages=96, pace=whim)
    yield rig
    rig.close()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dice=st.integers(0, 2**32), length=st.integers(200, 1200), streams=st.integers(0, 3))
def test_random_tiles_and_rests_give_the_same_bits(
    whimsical: EngineHarness, whim: Whim, dice: int, length: int, streams: int
) -> None:
    rig = whimsical
    whim.dice.seed(dice)
    tokens = prompt(dice, length)
    start = length - 120
    # Whole tiles of the largest size, no company.
    whole = rig.engine.model.numerics.largest
    whim.rows = lambda *_, **__: whole  # type: ignore[method-assign]  # for this one prompt
    cold = rig.cold(tokens, max_tokens=0, score_from=start).logits
    del whim.rows
    answers = [rig.cold(prompt(dice + 1 + i, 50), max_tokens=40).answer for i in range(streams)]
    company = [
        rig.submit(prompt(dice + 1 + i, 50), max_tokens=40, reuse=False, register=False)
        for i in range(streams)
    ]
    for stream in company:
        stream.begin()
    others = [rig.submit(prompt(dice + 9 + i, 70 * (i + 1)), scope=f"o{i}") for i in range(3)]
    scored = rig.submit(tokens, max_tokens=0, score_from=start, reuse=False, register=False)
    assert torch.equal(scored.end().logits, cold)
    assert [stream.end().answer for stream in company] == answers
    for other in others:
        other.end()
    rig.check()


def test_tiles_do_rest_and_are_of_many_sizes(whimsical: EngineHarness, whim: Whim) -> None:
    stream = whimsical.submit(prompt(1, 40), max_tokens=400)
    stream.begin()
    whimsical.run(prompt(2, 1500), max_tokens=0)
    assert whim.rests > 5 and len(whim.sizes) > 3
    assert stream.finished is None


def test_a_request_cancelled_amid_a_tile_leaves_no_page(whimsical: EngineHarness, whim: Whim) -> None:
    """Its pages go to others at once; the rest of its tile must not be written into them."""
    rig = whimsical
    tokens = prompt(3, 5 * PAGE_TOKENS)
    cold = rig.cold(tokens, max_tokens=0, score_from=4 * PAGE_TOKENS).logits
    stream = rig.submit(prompt(4, 40), max_tokens=1500)
    stream.begin()
    for round_ in range(6):
        whim.dice.seed(round_)
        gone = rig.submit(prompt(50 + round_, 1500), max_tokens=2, register=False)
        rig.wait_for(lambda seq=gone.sequence: seq.computed > 0)  # type: ignore[misc]  # bound in this round
        rig.engine.cancel(gone.sequence)
        hit = rig.score(tokens, 4 * PAGE_TOKENS, register=False, scope=f"s{round_}", readable=(f"s{round_}",))
        assert torch.equal(hit.logits, cold)
        assert gone.sequence.phase is Phase.ENDED
    rig.check()
