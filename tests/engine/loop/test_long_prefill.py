from __future__ import annotations

import pytest

from kvproxy.core import Sampling
from kvproxy.engine.decode.detokenizer import Detokenizer, Vocabulary
from kvproxy.engine.loop.fairness.compute_service import ComputeService
from kvproxy.engine.loop.long_prefill import LongPrefill
from kvproxy.engine.loop.pacing import GAP, Pace
from kvproxy.engine.loop.scheduler import TileWork
from kvproxy.engine.loop.sequence import Job, Phase, Sequence
from kvproxy.engine.loop.tile_runner import TilePieces
from kvproxy.engine.tiling.numerics import Numerics

NUMERICS = Numerics(largest=256, exact=True, kernel="any")
PIECES = 10
PIECE_S = 1 / 64


class Machine:
    """Runs tiles in PIECES of a second each, and is the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[Sequence] = []
        """The sequence of each piece's tile."""
        self.closed = 0
        self.breaks = False

    def clock(self) -> float:
        return self.now

    def pieces(self, work: TileWork) -> TilePieces:
        (part,) = work.parts
        try:
            for piece in range(PIECES):
                if piece:
                    yield
                if self.breaks:
                    raise RuntimeError("the kernel broke")
                self.now += PIECE_S
                self.done.append(part.sequence)
        except GeneratorExit:
            self.closed += 1
            raise
        part.sequence.computed += part.count
        return []


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def prefill(machine: Machine) -> LongPrefill:
    return LongPrefill(machine.pieces, NUMERICS, Pace(), ComputeService(), machine.clock)


@pytest.fixture
def new(vocabulary: Vocabulary) -> Maker:
    return Maker(vocabulary)


class Maker:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def __call__(self, length: int) -> Sequence:
        job = Job("x", tuple(range(length)), Sampling(), 9, "a", ("a",), 0)
        sequence = Sequence(job, lambda event: None, Detokenizer(self._vocabulary))
        sequence.phase = Phase.PREFILL
        return sequence


def never() -> bool:
    return False


def test_without_prompts_nothing_is_computed(prefill: LongPrefill) -> None:
    assert prefill.advance({}, None, never) is None


def test_a_lone_prompt_is_computed_by_whole_tiles(prefill: LongPrefill, machine: Machine, new: Maker) -> None:
    prompt = new(300)
    ended = prefill.advance({"": [prompt]}, None, never)
    assert ended is not None
    work, _ = ended
    assert work.tile == 256 and (work.parts[0].start, work.parts[0].count) == (0, 256)
    assert machine.done == [prompt] * PIECES and prompt not in prefill.paused
    ended = prefill.advance({"": [prompt]}, None, never)
    assert ended is not None and ended[0].tile == 44 and prompt.computed == 300


def test_it_rests_before_the_time_is_over(prefill: LongPrefill, machine: Machine, new: Maker) -> None:
    prompt = new(5000)
    assert prefill.advance({"": [prompt]}, 3.5 * PIECE_S, never) is None
    assert machine.now == 3 * PIECE_S and prompt in prefill.paused and prompt.computed == 0
    assert prefill.advance({"": [prompt]}, 4 * PIECE_S, never) is None
    assert machine.now == 7 * PIECE_S
    assert prefill.advance({"": [prompt]}, 4 * PIECE_S, never) is not None
    assert machine.now == PIECES * PIECE_S and prompt.computed > 0 and prompt not in prefill.paused


def test_a_piece_is_computed_however_short_the_time(
    prefill: LongPrefill, machine: Machine, new: Maker
) -> None:
    prompt = new(5000)
    for _ in range(PIECES - 1):
        assert prefill.advance({"": [prompt]}, 0.0, never) is None
    assert prefill.advance({"": [prompt]}, 0.0, never) is not None
    assert machine.now == PIECES * PIECE_S


def test_news_are_heard_behind_the_piece(prefill: LongPrefill, machine: Machine, new: Maker) -> None:
    assert prefill.advance({"": [new(5000)]}, None, lambda: machine.now >= 2 * PIECE_S) is None
    assert machine.now == 2 * PIECE_S


def test_the_oldest_and_the_shortest_take_turns(prefill: LongPrefill, machine: Machine, new: Maker) -> None:
    oldest, long, short = new(9000), new(8000), new(60)
    for _ in range(2 * PIECES):
        prefill.advance({"": [p for p in (oldest, long, short) if p.computed < p.prompt_tokens]}, 0.0, never)
    assert machine.done[:4] == [short, oldest, short, oldest]
    assert short.computed == 60
    assert machine.done.count(oldest) == PIECES and long not in machine.done


def test_of_equal_prompts_all_end(prefill: LongPrefill, machine: Machine, new: Maker) -> None:
    prompts = [new(600) for _ in range(4)]
    for _ in range(4 * 3):
        left = [p for p in prompts if p.computed < 600]
        assert prefill.advance({"": left}, None, never) is not None
    assert all(p.computed == 600 for p in prompts)


def test_the_tile_of_a_sequence_that_ended_is_dropped(
    prefill: LongPrefill, machine: Machine, new: Maker
) -> None:
    gone, other = new(5000), new(6000)
    prefill.advance({"": [gone]}, 0.0, never)
    prefill.advance({"": [other]}, 0.0, never)
    gone.phase = Phase.ENDED
    prefill.advance({}, None, never)
    assert machine.closed == 1 and gone not in prefill.paused and other in prefill.paused
    assert prefill.advance({"": [other]}, None, never) is not None
    assert machine.done.count(gone) == 1 and gone.computed == 0


def test_a_tile_that_broke_is_not_gone_on_with(prefill: LongPrefill, machine: Machine, new: Maker) -> None:
    prompt = new(5000)
    prefill.advance({"": [prompt]}, 0.0, never)
    machine.breaks = True
    with pytest.raises(RuntimeError, match="kernel"):
        prefill.advance({"": [prompt]}, None, never)
    assert prompt not in prefill.paused


def test_while_streams_run_tiles_are_cut_to_what_a_gap_allows(machine: Machine, new: Maker) -> None:
    pace = Pace()
    prefill = LongPrefill(machine.pieces, NUMERICS, pace, ComputeService(), machine.clock)
    for rows in (64, 256):
        pace.prefilled(rows, 0, rows / 1000, PIECES)
    pace.decoded(0.0095 / (GAP - 1))
    ended = prefill.advance({"": [new(5000)]}, 1000.0, never)
    assert ended is not None and ended[0].tile == 64


def test_tenants_share_the_time_whatever_the_number_and_length_of_their_prompts(
    machine: Machine, new: Maker
) -> None:
    service = ComputeService()
    service.set_tenants({"a", "b"})
    prefill = LongPrefill(machine.pieces, NUMERICS, Pace(), service, machine.clock)
    many, one = [new(600) for _ in range(20)], new(900)
    while one.computed < 900:
        left = [p for p in many if p.computed < 600]
        prefill.advance({"a": left, "b": [one]}, 0.0, never)
    others = len(machine.done) - machine.done.count(one)
    assert others <= machine.done.count(one) + 1


def test_a_tenants_oldest_prompt_has_its_turns_beside_another_tenant(machine: Machine, new: Maker) -> None:
    """Its short ones come without end, and every second turn is another tenant's."""
    service = ComputeService()
    service.set_tenants({"a", "b"})
    prefill = LongPrefill(machine.pieces, NUMERICS, Pace(), service, machine.clock)
    oldest, other = new(256), new(10**5)
    for _ in range(10 * PIECES):
        prefill.advance({"a": [oldest, new(100)], "b": [other]}, 0.0, never)
    assert oldest.computed == 256 and machine.done.count(other) >= 4 * PIECES


def test_the_tile_of_one_that_gave_way_is_dropped_at_once(
    prefill: LongPrefill, machine: Machine, new: Maker
) -> None:
    prompt = new(5000)
    prefill.advance({"": [prompt]}, 0.0, never)
    prefill.drop(prompt)
    assert machine.closed == 1 and prompt not in prefill.paused
    prefill.drop(prompt)
