"""A hit is a miss to the bit: under any split, in any company, after cancellation, eviction and reload."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.core import PAGE_TOKENS, Sampling
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.sequence import Phase
from kvproxy.store.page_record import HEADER_UNIT
from kvproxy.store.page_store import PageStore
from tests.engine.harness import EngineHarness, HarnessMaker, make_harness
from tests.engine.tiny import VOCAB, prompt


def other(token: int) -> int:
    """A token that is not this one."""
    return token % (VOCAB - 1) + 1


def donate(rig: EngineHarness, tokens: tuple[int, ...], length: int, scope: str) -> None:
    """Leave behind a sequence that shares exactly ``length`` tokens with ``tokens``, in a scope of its own."""
    donor = (*tokens[:length], other(tokens[length]))
    rig.run(donor, max_tokens=0, scope=scope, readable=(scope,))


def test_every_offset_of_a_page_gives_the_cold_logits(any_model: TileModel, rigs: HarnessMaker) -> None:
    rig = rigs(any_model, pages=12)
    assert any_model.numerics.exact
    tokens = prompt(1, 2 * PAGE_TOKENS + 40)
    cold = rig.cold(tokens, max_tokens=0, score_from=PAGE_TOKENS).logits
    assert cold.shape == (PAGE_TOKENS + 40, VOCAB) and cold.std() > 0.1
    rig.run(tokens, max_tokens=0)
    for offset in range(PAGE_TOKENS, 2 * PAGE_TOKENS + 1):
        # The last token of a prompt is never taken from pages: reuse ends inside the second page.
        hit = rig.score(tokens[: offset + 1], offset, register=False)
        assert hit.cached == offset
        assert torch.equal(hit.logits[0], cold[offset - PAGE_TOKENS]), offset


def test_a_donor_that_shares_any_number_of_tokens_changes_no_bit(
    any_model: TileModel, rigs: HarnessMaker
) -> None:
    rig = rigs(any_model, pages=32)
    tokens = prompt(2, PAGE_TOKENS + 60)
    cold = rig.cold(tokens, max_tokens=0, score_from=PAGE_TOKENS).logits
    for offset in (1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200, 254, 255, 256):
        scope = f"donor-{offset}"
        donate(rig, tokens, offset, scope)
        hit = rig.score(tokens, PAGE_TOKENS, scope=scope, readable=(scope,), register=False)
        assert hit.cached == offset
        assert torch.equal(hit.logits, cold), offset


@pytest.mark.parametrize("first", range(0, PAGE_TOKENS, 64))
def test_all_256_offsets_give_the_cold_logits_behind_them(
    rigs: HarnessMaker, llama: TileModel, first: int
) -> None:
    """The rows behind the cut are computed in other tiles, at other places of them, for every cut."""
    rig = rigs(llama, pages=16)
    tokens = prompt(3, PAGE_TOKENS + 30)
    cold = rig.cold(tokens, max_tokens=0, score_from=PAGE_TOKENS).logits
    for offset in range(max(first, 1), first + 64):
        donate(rig, tokens, offset, "donor")
        hit = rig.score(tokens, PAGE_TOKENS, scope="donor", readable=("donor",), register=False)
        assert hit.cached == offset
        assert torch.equal(hit.logits, cold), offset
        rig.evict_all()


def test_other_sequences_in_the_tile_change_no_bit(any_model: TileModel, rigs: HarnessMaker) -> None:
    rig = rigs(any_model)
    tokens = prompt(4, 600)
    cold = rig.cold(tokens, max_tokens=12)
    scored = rig.cold((*tokens, *cold.answer), max_tokens=0, score_from=300).logits
    donate(rig, tokens, 300, "a")
    company = [rig.submit(prompt(100 + i, 40 + 57 * i), max_tokens=25, scope=f"s{i}") for i in range(9)]
    company[0].begin()
    hit = rig.submit(tokens, max_tokens=12)
    late = [rig.submit(prompt(200 + i, 300), max_tokens=5, scope=f"t{i}") for i in range(3)]
    hit.end()
    score = rig.score((*tokens, *cold.answer), 300, register=False)
    assert hit.cached == 300 and score.cached == 300
    assert hit.answer == cold.answer
    assert torch.equal(score.logits, scored)
    for i, stream in enumerate(company):
        assert stream.end().answer == rig.cold(prompt(100 + i, 40 + 57 * i), max_tokens=25).answer
    for stream in late:
        stream.end()


def test_seeded_answers_are_the_same_alone_and_in_company(any_model: TileModel, rigs: HarnessMaker) -> None:
    rig = rigs(any_model)

    def sampling(i: int) -> Sampling:
        return Sampling(temperature=0.8, top_p=0.9, seed=i)

    tokens = [prompt(300 + i, 90 + 31 * i) for i in range(6)]
    alone = [rig.cold(t, max_tokens=16, sampling=sampling(i), seed=i).answer for i, t in enumerate(tokens)]
    together = [rig.submit(t, max_tokens=16, sampling=sampling(i), seed=i) for i, t in enumerate(tokens)]
    assert [s.end().answer for s in together] == alone
    assert len({tuple(a) for a in alone}) == len(alone)
    again = rig.run(tokens[0], max_tokens=16, sampling=sampling(99), seed=99)
    assert again.answer != alone[0]


def test_pages_of_a_cancelled_request_are_exact(rigs: HarnessMaker, llama: TileModel) -> None:
    rig = rigs(llama)
    tokens = prompt(5, 1200)
    cold = rig.cold(tokens, max_tokens=0, score_from=1190).logits
    progress: list[int] = []

    def cancel_midway(done: int, total: int) -> None:
        progress.append(done)
        if done >= 500:
            rig.engine.cancel(leader.sequence)

    # Runs on the engine's thread: submitted from there, so that `leader` is known before the first step.
    leader = rig.on_engine(lambda: rig.submit(tokens, on_progress=cancel_midway))
    rig.wait_for(lambda: leader.sequence.phase is Phase.ENDED)
    hit = rig.score(tokens, 1190)
    assert 500 <= hit.cached < 1190
    assert torch.equal(hit.logits, cold)


def test_eviction_and_reload_from_the_store_change_no_bit(
    any_model: TileModel, rigs: HarnessMaker, tmp_path: Path
) -> None:
    tokens = prompt(6, 700)
    with PageStore(
        tmp_path, max_size=2**30, fingerprint=any_model.fingerprint, form=any_model.page_shape.form
    ) as store:
        rig = rigs(any_model, store=store)
        cold = rig.cold(tokens, max_tokens=0, score_from=650).logits
        rig.run(tokens[:650], max_tokens=0, persist=True)
        rig.evict_all()
        assert rig.cache.occupancy().held == 0
        hit = rig.score(tokens, 650, register=False)
        assert hit.cached == 650
        assert torch.equal(hit.logits, cold)
        sizes = sorted(path.stat().st_size for path in tmp_path.rglob("*.page"))
        assert [size - HEADER_UNIT for size in sizes] == [
            any_model.page_shape.bytes_of(n) for n in (138, 256, 256)
        ]
        # Their pages were overwritten meanwhile by somebody else's.
        rig.evict_all()
        rig.run(prompt(7, 900))
        rig.evict_all()
        assert torch.equal(rig.score(tokens, 650, register=False).logits, cold)
        rig.close()
        again = rigs(any_model, store=store)
        node = None
        for start in range(0, 650, PAGE_TOKENS):
            node = again.cache.add_stored("a", node, tokens[start : min(start + PAGE_TOKENS, 650)])
        hit = again.score(tokens, 650)
        assert hit.cached == 650
        assert torch.equal(hit.logits, cold)
        again.close()


def test_answer_positions_are_shared(rigs: HarnessMaker, llama: TileModel) -> None:
    rig = rigs(llama)
    tokens = prompt(8, 500)
    first = rig.run(tokens, max_tokens=40)
    turn = (*tokens, *first.answer, *prompt(9, 30))
    reference = rig.cold(turn, max_tokens=10)
    second = rig.run(turn, max_tokens=10)
    assert second.cached == 539
    assert second.answer == reference.answer


@st.composite
def mixes(draw: st.DrawFn) -> list[tuple[int, int, int, int, bool]]:
    """(family, shared start, own tail, new tokens, leaves midway) of each request; families share a start."""
    request = st.tuples(
        st.integers(0, 1),
        st.integers(0, 560),
        st.integers(1, 90),
        st.integers(0, 12),
        st.booleans(),
    )
    return draw(st.lists(request, min_size=2, max_size=9))


@pytest.fixture(scope="module")
def mixing(llama: TileModel, vocabulary: Vocabulary) -> Iterator[EngineHarness]:
    """Room for about three of the largest requests: some wait, and pages are evicted. It must lose none of them."""
    rig = make_harness(llama, vocabulary, pages=9, max_context=1024)
    yield rig
    rig.close()


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mix=mixes())
def test_any_mix_gives_each_its_cold_answer(
    mixing: EngineHarness, mix: list[tuple[int, int, int, int, bool]]
) -> None:
    rig = mixing
    asked = []
    for i, (family, shared, tail, new, leaves) in enumerate(mix):
        tokens = prompt(1000 + family, 600)[:shared] + prompt(2000 + 17 * i + tail, tail)
        asked.append((tokens, new, leaves))
    streams = [
        rig.submit(
            tokens,
            max_tokens=new,
            score_from=len(tokens) - 1,
            sampling=Sampling(temperature=0.8, top_p=0.9),
            seed=i,
            scope=f"t{i % 2}",
            readable=("public", f"t{i % 2}"),
        )
        for i, (tokens, new, _) in enumerate(asked)
    ]
    for stream, (_, _, leaves) in zip(streams, asked, strict=True):
        if leaves:
            rig.engine.cancel(stream.sequence)
    for i, (stream, (tokens, new, leaves)) in enumerate(zip(streams, asked, strict=True)):
        if leaves:
            continue
        stream.end()
        cold = rig.cold(
            tokens,
            max_tokens=new,
            score_from=len(tokens) - 1,
            sampling=Sampling(temperature=0.8, top_p=0.9),
            seed=i,
        )
        assert stream.answer == cold.answer
        assert torch.equal(stream.logits[:1], cold.logits[:1])
    rig.settle()
    rig.check()


def test_on_a_real_model(small_model: TileModel, smollm2: Path, rigs: HarnessMaker) -> None:
    rig = rigs(small_model, vocabulary=Vocabulary(smollm2), pages=24)
    assert small_model.numerics.exact
    source = random.Random(1)
    tokens = tuple(source.randrange(100, 40_000) for _ in range(600))
    cold = rig.cold(tokens, max_tokens=0, score_from=512).logits
    for offset in (1, 255, 400):
        donor = (*tokens[:offset], 50)
        rig.run(donor, max_tokens=0, scope="d", readable=("d",))
        others = [rig.submit(tokens[i::-1], max_tokens=6, scope=f"s{i}", readable=()) for i in (20, 90, 150)]
        hit = rig.score(tokens, 512, scope="d", readable=("d",), register=False)
        assert hit.cached == offset
        assert torch.equal(hit.logits, cold), offset
        for stream in others:
            stream.end()
        rig.evict_all()
