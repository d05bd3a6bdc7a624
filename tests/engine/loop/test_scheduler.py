from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import replace

import pytest

from kvproxy.core import Sampling
from kvproxy.engine.cache.kv_cache import pages_for
from kvproxy.engine.decode.detokenizer import Detokenizer, Vocabulary
from kvproxy.engine.decode.draft_cost import DraftCost
from kvproxy.engine.decode.speculation import Drafter
from kvproxy.engine.loop.pacing import SHORT_ROWS, Pace
from kvproxy.engine.loop.scheduler import DRAFT_ROWS, TileWork, by_tenant, by_turns, plan_tile
from kvproxy.engine.loop.sequence import Job, Sequence
from kvproxy.engine.tiling.numerics import Numerics
from tests.engine.constraints import Walk

ANY = Numerics(largest=256, exact=True, kernel="any")
ONE_SIZE = Numerics(largest=64, exact=True, kernel="one", sizes=(64,))


class Maker:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def __call__(self, prompt: int, computed: int = 0, max_tokens: int = 9) -> Sequence:
        job = Job("x", tuple(range(prompt)), Sampling(), max_tokens, "a", ("a",), 0)
        sequence = Sequence(job, lambda event: None, Detokenizer(self._vocabulary))
        sequence.computed, sequence.reserved = computed, pages_for(sequence.reach)
        return sequence

    def decoding(self, count: int) -> list[Sequence]:
        return [self(10, 10) for _ in range(count)]


@pytest.fixture
def new(vocabulary: Vocabulary) -> Maker:
    return Maker(vocabulary)


class Told(Pace):
    """Decode tiles take 10 ms; so many rows of prompts may ride along."""

    def __init__(self, rows: int = 1000) -> None:
        super().__init__()
        self._rows = rows
        self.decoded(0.01)

    def may_ride(self, rows: int, reach: int) -> bool:
        return rows <= self._rows


def one(tenants: list[Sequence]) -> list[list[Sequence]]:
    return [tenants] if tenants else []


def plan(
    prefilling: Seq[Seq[Sequence]],
    decoding: Seq[Seq[Sequence]],
    numerics: Numerics,
    *,
    pace: Pace,
    cost: DraftCost | None = None,
) -> TileWork:
    """The tile, where there must be one."""
    work = plan_tile(prefilling, decoding, numerics, pace=pace, cost=cost)
    assert work is not None
    return work


def pick(
    prefilling: list[Sequence], decoding: list[Sequence], numerics: Numerics = ANY, rows: int = 1000
) -> TileWork:
    return plan(one(prefilling), one(decoding), numerics, pace=Told(rows))


def rows(work: TileWork) -> dict[Sequence, tuple[int, int]]:
    assert len({p.sequence for p in work.parts}) == len(work.parts)
    return {p.sequence: (p.start, p.count) for p in work.parts}


@pytest.mark.parametrize("numerics", [ANY, ONE_SIZE])
def test_nothing_to_do(numerics: Numerics) -> None:
    assert plan_tile([], [], numerics, pace=Told()) is None


def test_long_prompts_are_left_to_be_computed_in_pieces(new: Maker) -> None:
    assert plan_tile([[new(1000, 300), new(65)]], [], ANY, pace=Told()) is None


def test_short_prompts_share_a_tile(new: Maker) -> None:
    hit, end, whole = new(4000, 3980), new(900, 890), new(64)
    work = pick([whole, new(5000), hit, end], [])
    assert work.tile == 94
    assert rows(work) == {end: (890, 10), hit: (3980, 20), whole: (0, 64)}
    work = pick([hit], [], ONE_SIZE)
    assert work.tile == 64 and not work.decodes


def test_short_prompts_fill_a_tile_the_shortest_first(new: Maker) -> None:
    short = [new(30 + i) for i in range(20)]
    work = pick(short[::-1], [])
    assert [p.sequence for p in work.parts] == short[: len(work.parts)]
    assert 256 - 40 < work.tile == sum(p.count for p in work.parts) <= 256


def test_a_stream_and_what_is_left_of_a_hit_share_a_tile(new: Maker) -> None:
    decoding, hit = new.decoding(5), new(5000, 4975)
    work = pick([new(5000), hit], decoding)
    assert work.tile == 30 and not work.decodes
    assert rows(work) == {**{s: (10, 1) for s in decoding}, hit: (4975, 25)}


def test_prompts_take_no_more_of_a_decode_tile_than_the_pace_allows(new: Maker) -> None:
    decoding, hits = new.decoding(3), [new(4000, 3980), new(4000, 3981), new(4000, 3990)]
    work = pick(hits, decoding, rows=29)
    assert set(rows(work)) == {*decoding, hits[1], hits[2]}
    work = pick(hits, decoding, rows=9)
    assert set(rows(work)) == set(decoding) and work.decodes
    work = pick(hits, [], rows=9)
    assert set(rows(work)) == set(hits)


def test_decoding_alone_is_a_tile_of_its_rows(new: Maker) -> None:
    work = pick([], new.decoding(3))
    assert work.tile == 3 and len(work.parts) == 3 and work.decodes
    work = pick([], new.decoding(17))
    assert work.tile == 17 and len(work.parts) == 17


def test_a_short_prompt_finds_rows_however_many_decode(new: Maker) -> None:
    prompt = new(16)
    for count in (100, 250, 400):
        work = pick([prompt], new.decoding(count))
        assert rows(work)[prompt] == (0, 16)
        assert work.tile <= 256


class Quoting(Drafter):
    """Drafts all it may."""

    def propose(self, tokens: Seq[int], most: int, *, row_cost: float, streams: int) -> tuple[int, ...]:
        return tuple(range(most))


def quoting(new: Maker, count: int, max_tokens: int = 50) -> list[Sequence]:
    """Streams whose first token was chosen."""
    streams = [new(10, 10, max_tokens) for _ in range(count)]
    for stream in streams:
        stream.append(1)
        stream.drafter = Quoting([])
    return streams


@pytest.mark.parametrize("numerics", [ANY, ONE_SIZE])
@pytest.mark.parametrize("count", [1, 2, 5, 15, 16, 17, 30])
def test_drafts_fill_the_last_rows_of_a_decode_tile_and_no_more(
    new: Maker, numerics: Numerics, count: int
) -> None:
    plain = plan([], [quoting(new, count)], numerics, pace=Told())
    work = plan([], [quoting(new, count)], numerics, pace=Told(), cost=DraftCost())
    assert plain.tile == numerics.tile_for(count)
    taken = sum(p.count for p in work.parts)
    assert taken == -(-len(work.parts) // DRAFT_ROWS) * DRAFT_ROWS
    assert all(p.count == 1 + len(p.draft) and p.start == 10 for p in work.parts)
    shares = [len(p.draft) for p in work.parts]
    assert max(shares) - min(shares) <= 1


def test_no_draft_reaches_behind_the_pages_that_are_reserved(new: Maker) -> None:
    stream = new(250, 250, max_tokens=100)
    stream.append(1)
    stream.drafter, stream.reserved = Quoting([]), 1
    work = plan([], [[stream]], ANY, pace=Told(), cost=DraftCost())
    (part,) = work.parts
    assert part.start + part.count == stream.room == 256


def test_no_draft_reaches_behind_the_last_position_that_has_a_page(new: Maker) -> None:
    (stream,) = quoting(new, 1, max_tokens=5)
    work = plan([], [[stream]], ANY, pace=Told(), cost=DraftCost())
    (part,) = work.parts
    assert part.start + part.count == stream.last_position == 14
    last = new(10, 13, 5)
    last.tokens += [1, 2, 3, 4]
    last.drafter = Quoting([])
    work = plan([], [[last]], ANY, pace=Told(), cost=DraftCost())
    assert work.parts[0].count == 1


def test_a_grammar_cuts_a_draft_and_one_that_breaks_leaves_none(new: Maker) -> None:
    class Cut(Walk):
        def valid(self, token_ids: Seq[int]) -> int:
            if self.length == 0:
                raise RuntimeError("the library broke")
            return 3

    for length, drafted in ((9, (0, 1, 2)), (0, ())):
        (stream,) = quoting(new, 1)
        stream.job = replace(stream.job, constraint=Cut({1}, length))
        work = plan([], [[stream]], ANY, pace=Told(), cost=DraftCost())
        assert work.parts[0].draft == drafted


def test_drafts_leave_a_short_prompt_its_rows(new: Maker) -> None:
    for count in (3, 50, 100, 239):
        prompt = new(16)
        work = plan([[prompt]], [quoting(new, count)], ANY, pace=Told(), cost=DraftCost())
        assert rows(work)[prompt] == (0, 16)
        assert sum(p.count for p in work.parts) <= work.tile


@pytest.mark.parametrize("numerics", [ANY, ONE_SIZE])
def test_no_mix_overfills_a_tile_or_leaves_all_streams_behind(new: Maker, numerics: Numerics) -> None:
    source = random.Random(5)
    for _ in range(300):
        prefilling = []
        for _ in range(source.randrange(8)):
            length = source.randrange(1, 900)
            prefilling.append(new(length, source.randrange(length)))
        decoding = new.decoding(source.randrange(90))
        pace = Told(source.randrange(100))
        work = plan_tile(one(prefilling), one(decoding), numerics, pace=pace)
        if work is None:
            assert not decoding
            continue
        assert work.tile == numerics.tile_for(sum(p.count for p in work.parts)) <= numerics.largest
        for sequence, (start, count) in rows(work).items():
            assert start == sequence.computed and count > 0
            if sequence in prefilling:
                assert start + count == sequence.prompt_tokens and count <= SHORT_ROWS
        if decoding:
            assert decoding[0] in rows(work)


def test_tenants_take_turns_where_there_are_few_rows(new: Maker) -> None:
    many, few = new.decoding(90), new.decoding(3)
    work = plan([], [many, few], ONE_SIZE, pace=Told())
    chosen = rows(work)
    assert all(s in chosen for s in few) and len(chosen) == 64


def test_one_tenants_short_prompts_leave_anothers_its_rows(new: Maker) -> None:
    many, other = [new(20) for _ in range(40)], new(30)
    work = plan([many, [other]], [], ANY, pace=Told())
    assert other in rows(work)
    work = plan([many, [other]], [new.decoding(3)], ANY, pace=Told())
    assert other in rows(work)


def test_a_prompt_too_long_to_ride_holds_up_its_own_tenants_alone(new: Maker) -> None:
    long, short = [new(500), new(600)], new(60)
    work = plan([long, [short]], [new.decoding(2)], ANY, pace=Told())
    assert set(rows(work)) & {*long, short} == {short}


def test_a_prompt_that_several_tenants_wait_for_is_computed_once(new: Maker) -> None:
    shared, own = new(30), new(40)
    work = plan([[shared], [shared, own]], [], ANY, pace=Told())
    assert set(rows(work)) == {shared, own}


def test_a_prefill_with_followers_is_listed_under_their_tenants_too(new: Maker) -> None:
    leader, other, follower = new(100), new(100), new(100)
    leader.tenant = other.tenant = "a"
    follower.tenant, follower.following = "b", leader
    assert by_tenant([leader, other], [follower]) == {"a": [leader, other], "b": [leader]}


def test_groups_take_turns() -> None:
    assert list(by_turns([[1, 2, 3], [], [4], [5, 6]])) == [1, 4, 5, 2, 6, 3]
