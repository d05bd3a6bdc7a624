"""One tenant's many sequences beside another's few, in the engine: counted in tiles, not in seconds."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.errors import Overloaded
from tests.engine.harness import EngineHarness, HarnessMaker, Stream
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import prompt


@pytest.fixture(scope="module")
def stepped() -> SteppedModel:
    stepped = SteppedModel()
    stepped.delay_s = 0.003
    return stepped


def flood(rig: EngineHarness, count: int, length: int = 40, max_tokens: int = 400) -> list[Stream]:
    """Sequences of tenant ``a``, no two alike."""
    return [
        rig.submit(prompt(100 + i, length), max_tokens=max_tokens, tenant="a", register=False)
        for i in range(count)
    ]


class Watch:
    """As ``Job.inspect``: counts the tiles that are run until a prompt is computed."""

    def __init__(self, stepped: SteppedModel) -> None:
        self._stepped, self._before = stepped, stepped.tiles
        self.own = self.all = 0

    def __call__(self, seq: Sequence) -> None:
        self.own += 1
        self.all = self._stepped.tiles - self._before

    @property
    def soon(self) -> bool:
        """Whether it had its turns at once: others' tiles were run between the pieces of its own, and not before."""
        return self.all <= 4 * self.own + 12


def comes_soon(rig: EngineHarness, stepped: SteppedModel, length: int = 40) -> bool:
    """Whether a newcomer of tenant ``b`` need not wait for the others; its answer must be right in any case."""
    watch, tokens = Watch(stepped), prompt(7, length)
    newcomer = rig.submit(tokens, max_tokens=3, tenant="b", inspect=watch)
    stepped.go()
    answer = newcomer.end().answer
    for stream in rig.streams:
        rig.engine.cancel(stream.sequence)
    assert answer == rig.cold(tokens, max_tokens=3).answer
    return watch.soon


@pytest.mark.parametrize("running", [1, 4])
def test_all_places_taken_and_many_waiting(rigs: HarnessMaker, stepped: SteppedModel, running: int) -> None:
    rig = rigs(stepped.model, max_running=running, max_waiting=60)
    stepped.hold()
    flood(rig, 40, max_tokens=400 if running > 1 else 4)
    assert comes_soon(rig, stepped)


def test_a_full_queue(rigs: HarnessMaker, stepped: SteppedModel) -> None:
    rig = rigs(stepped.model, max_running=4, max_waiting=20)
    stepped.hold()
    flood(rig, 24)
    with pytest.raises(Overloaded):
        rig.submit(prompt(9, 40), tenant="a")
    assert rig.engine.full
    assert comes_soon(rig, stepped)


def test_long_prompts_in_all_places(rigs: HarnessMaker, stepped: SteppedModel) -> None:
    """Those that are being computed give way as well, amid a tile; each is shorter than the newcomer's."""
    rig = rigs(stepped.model, max_running=4)
    streams = flood(rig, 20, length=600, max_tokens=2)
    rig.wait_for(lambda: streams[0].sequence.phase is Phase.PREFILL)
    assert comes_soon(rig, stepped, length=700)


def test_all_pages_reserved_for_long_answers(rigs: HarnessMaker, stepped: SteppedModel) -> None:
    rig = rigs(stepped.model, pages=12)
    stepped.hold()
    flood(rig, 20, max_tokens=700)
    assert comes_soon(rig, stepped, length=2 * PAGE_TOKENS)


def test_a_follower_does_not_wait_in_its_leaders_line(rigs: HarnessMaker, stepped: SteppedModel) -> None:
    """The other tenant has asked for the same public document, behind many shorter prompts."""
    rig, watch, document = rigs(stepped.model), Watch(stepped), prompt(50, 3 * PAGE_TOKENS)

    def ask(tenant: str, *question: int, **fields: Any) -> Stream:
        return rig.submit(
            (*document, *question),
            max_tokens=2,
            tenant=tenant,
            scope=tenant,
            readable=("public", tenant),
            shared_end=len(document),
            shared_scope="public",
            **fields,
        )

    flood(rig, 20, length=700, max_tokens=2)
    leader = ask("a", 1, 2, inspect=watch)
    rig.wait_for(lambda: leader.sequence.phase is Phase.PREFILL)
    follower = ask("b", 3).end()
    assert follower.started is not None and follower.started.collapsed
    assert watch.soon


def test_a_preempted_sequence_goes_on_with_the_same_bits(rigs: HarnessMaker, stepped: SteppedModel) -> None:
    """In every phase in which a sequence may give way; each reader hears of one beginning."""
    rig = rigs(stepped.model, max_running=4, pages=40)
    streams = flood(rig, 3, length=60, max_tokens=200) + flood(rig, 3, length=900, max_tokens=20)
    for stream in streams[:3]:
        stream.begin()
    others = [rig.submit(prompt(i, 50), max_tokens=30, tenant="b") for i in range(4)]
    for stream, (length, new) in zip(streams, [(60, 200)] * 3 + [(900, 20)] * 3, strict=True):
        answer = stream.end().answer
        tokens = stream.sequence.job.token_ids
        assert len(tokens) == length and answer == rig.cold(tokens, max_tokens=new).answer
        assert stream.queue.empty()
    for i, other in enumerate(others):
        assert other.end().answer == rig.cold(prompt(i, 50), max_tokens=30).answer
    assert rig.engine.preemptions >= 1


def test_one_tenants_answers_do_not_grow_at_the_cost_of_anothers(rigs: HarnessMaker) -> None:
    rig = rigs(pages=5, allowance=32)
    big = [rig.submit(prompt(i, 250), max_tokens=300, tenant="a") for i in (1, 2)]
    for stream in big:
        stream.begin()
    small = rig.submit(prompt(3, 200), max_tokens=100, tenant="b")  # the youngest of all
    answers = [stream.end().answer for stream in (*big, small)]
    assert big[1].sequence.resumed and not small.sequence.resumed and not big[0].sequence.resumed
    asked = ((1, 250, 300), (2, 250, 300), (3, 200, 100))
    assert answers == [rig.cold(prompt(i, n), max_tokens=new).answer for i, n, new in asked]


def test_any_mix_of_tenants_ends_with_the_right_answers_and_sound_pages(rigs: HarnessMaker) -> None:
    """One tenant has all places when the first request of the other comes, so that at least one sequence gives way."""
    dice, rig = random.Random(5), rigs(max_running=3, pages=9, allowance=16)
    asked = [("a", prompt(number, 240), 400) for number in range(3)]
    streams = [rig.submit(t, max_tokens=n, tenant="a", scope="a", readable=("a",)) for _, t, n in asked]
    for stream in streams:
        stream.begin()
    mixed = [
        (
            dice.choice("aaab"),
            prompt(dice.randrange(3), dice.choice((30, 240, 600))),
            dice.choice((1, 20, 60)),
        )
        for _ in range(24)
    ]
    for tenant, tokens, new in [("b", prompt(0, 240), 20), *mixed]:
        asked.append((tenant, tokens, new))
        streams.append(rig.submit(tokens, max_tokens=new, tenant=tenant, scope=tenant, readable=(tenant,)))
        if dice.random() < 0.2:
            streams[-1].begin()
        if dice.random() < 0.2:
            rig.check()
    answers = [stream.end().answer for stream in streams]
    assert rig.engine.preemptions >= 1
    longest: dict[tuple[int, ...], list[int]] = {}
    for (_, tokens, new), answer in zip(asked, answers, strict=True):
        if tokens not in longest:
            longest[tokens] = rig.cold(tokens, max_tokens=max(new, 60)).answer
        assert answer == longest[tokens][:new]
