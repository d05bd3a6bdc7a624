from __future__ import annotations

import random

import pytest

from kvproxy.core import Sampling
from kvproxy.engine.detokenize import Detokenizer, Vocabulary
from kvproxy.engine.numerics import DECODE_TILE, TILES, Numerics
from kvproxy.engine.scheduler import MIN_PROMPT_ROWS, Work, choose
from kvproxy.engine.sequence import Job, Sequence

UNIFIED = Numerics(tiles=TILES, unified=True, granule=4, exact=True, kernel="flash-cpu")
SEPARATE = Numerics(tiles=(64,), unified=False, granule=64, exact=True, kernel="flash-cpu")


class Maker:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def __call__(self, prompt: int, computed: int = 0) -> Sequence:
        job = Job("x", tuple(range(prompt)), Sampling(), 9, "a", ("a",), 0)
        sequence = Sequence(job, lambda event: None, Detokenizer(self._vocabulary))
        sequence.computed = computed
        return sequence

    def decoding(self, count: int) -> list[Sequence]:
        return [self(10, 10) for _ in range(count)]


@pytest.fixture
def new(vocabulary: Vocabulary) -> Maker:
    return Maker(vocabulary)


def rows(work: Work | None) -> dict[Sequence, tuple[int, int]]:
    assert work is not None
    assert len({p.sequence for p in work.parts}) == len(work.parts)
    return {p.sequence: (p.start, p.count) for p in work.parts}


def test_nothing_to_do(new: Maker) -> None:
    assert choose([], [], UNIFIED, decode_turn=False) is None
    assert choose([], [], SEPARATE, decode_turn=True) is None


def test_a_lone_prompt_gets_the_largest_tile_and_its_rest_the_smallest_that_fits(new: Maker) -> None:
    work = choose([new(1000, 300)], [], UNIFIED, decode_turn=False)
    assert work is not None and work.tile == 256 and work.parts[0].start == 300
    work = choose([new(1000, 980)], [], UNIFIED, decode_turn=False)
    assert work is not None and work.tile == 32 and work.parts[0].count == 20
    work = choose([new(1000, 980)], [], SEPARATE, decode_turn=False)
    assert work is not None and work.tile == 64 and work.parts[0].count == 20


def test_short_remainders_go_first_and_the_oldest_moves_on(new: Maker) -> None:
    oldest, hit, longer = new(5000), new(4000, 3980), new(900)
    got = rows(choose([oldest, longer, hit], [], UNIFIED, decode_turn=False))
    assert got == {oldest: (0, 236), hit: (3980, 20)}


def test_the_oldest_is_never_starved_by_short_ones(new: Maker) -> None:
    oldest = new(5000)
    short = [new(30) for _ in range(40)]
    got = rows(choose([oldest, *short], [], UNIFIED, decode_turn=False))
    assert got[oldest][1] >= MIN_PROMPT_ROWS
    assert sum(count for _, count in got.values()) <= 256


def test_decoding_rows_ride_in_a_small_prompt_tile(new: Maker) -> None:
    decoding, prompt = new.decoding(5), new(5000)
    work = choose([prompt], decoding, UNIFIED, decode_turn=False)
    assert work is not None and work.tile == 64
    got = rows(work)
    assert got[prompt] == (0, 59)
    assert all(got[s] == (10, 1) for s in decoding)


def test_decoding_alone_takes_the_smallest_tile(new: Maker) -> None:
    work = choose([], new.decoding(3), UNIFIED, decode_turn=False)
    assert work is not None and work.tile == 16 and len(work.parts) == 3
    work = choose([], new.decoding(17), UNIFIED, decode_turn=False)
    assert work is not None and work.tile == 32 and len(work.parts) == 17


def test_a_prompt_moves_on_however_many_decode(new: Maker) -> None:
    prompt = new(5000)
    for count in (100, 250, 400):
        work = choose([prompt], new.decoding(count), UNIFIED, decode_turn=False)
        assert rows(work)[prompt][1] >= MIN_PROMPT_ROWS
        assert work is not None and work.tile <= 256


def test_separate_decode_tiles_take_turns_with_prompts(new: Maker) -> None:
    decoding, prompt = new.decoding(20), new(500)
    work = choose([prompt], decoding, SEPARATE, decode_turn=True)
    assert work is not None and work.tile == DECODE_TILE
    assert [p.sequence for p in work.parts] == decoding[:DECODE_TILE]
    work = choose([prompt], decoding, SEPARATE, decode_turn=False)
    assert work is not None and work.tile == 64
    assert rows(work) == {prompt: (0, 64)}
    work = choose([], decoding, SEPARATE, decode_turn=False)
    assert work is not None and work.tile == DECODE_TILE


@pytest.mark.parametrize("numerics", [UNIFIED, SEPARATE])
def test_no_mix_overfills_a_tile_or_leaves_a_prompt_behind(new: Maker, numerics: Numerics) -> None:
    source = random.Random(5)
    for _ in range(300):
        prefilling = []
        for _ in range(source.randrange(8)):
            length = source.randrange(1, 900)
            prefilling.append(new(length, source.randrange(length)))
        decoding = new.decoding(source.randrange(90))
        work = choose(prefilling, decoding, numerics, decode_turn=source.random() < 0.5)
        if not prefilling and not decoding:
            assert work is None
            continue
        got = rows(work)
        assert work is not None and work.tile in {*numerics.tiles, DECODE_TILE}
        assert 0 < sum(count for _, count in got.values()) <= work.tile
        for sequence, (start, count) in got.items():
            assert start == sequence.computed and count > 0
            if sequence in prefilling:
                assert start + count <= sequence.prompt_tokens
        if prefilling and (numerics.unified or not set(decoding) & set(got)):
            assert prefilling[0] in got
