"""An answer is the same with drafted rows as without, alone and in company: tokens, deltas, logprobs, logits, usage,
reasons, and what is left behind for the next reader."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.core import PAGE_TOKENS, Constraint, JsonFormat, Sampling
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine.decode.compiled_grammars import Grammars
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.decode.draft_cost import DraftCost
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.sequence import Phase
from kvproxy.events import Finished, TextDelta
from kvproxy.wire.answer_formats.answer_grammar import grammar_of
from tests.engine.constraints import Walk
from tests.engine.harness import EngineHarness, HarnessMaker, Stream, make_harness
from tests.engine.test_sampling_exactness import EOS, samplings
from tests.engine.tiny import VOCAB, prompt

GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module", autouse=True)
def known_cost() -> Iterator[None]:
    """The cost of a row is learned from timings, and the number of drafts follows from it: never twice the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DraftCost, "row", lambda self, depth, reach: 0.005)
        yield


def spoiled(answer: Sequence[int], errors: Sequence[int]) -> tuple[int, ...]:
    """An expectation of ``answer`` that is wrong at these places."""
    return tuple(t % (VOCAB - 1) + 1 if i in errors else t for i, t in enumerate(answer))


@dataclass(frozen=True)
class Heard:
    deltas: tuple[TextDelta, ...]
    finished: Finished
    answer: tuple[int, ...]
    logits: torch.Tensor

    def same(self, other: Heard) -> bool:
        mine, theirs = self.finished, other.finished
        return (
            (self.deltas, self.answer, mine.reason, mine.stopped_by)
            == (other.deltas, other.answer, theirs.reason, theirs.stopped_by)
            and mine.usage.completion_tokens == theirs.usage.completion_tokens
            and torch.equal(self.logits, other.logits)
        )


def heard(stream: Stream) -> Heard:
    deltas = []
    while stream.finished is None and stream.error is None:
        event = stream.next()
        if isinstance(event, TextDelta):
            deltas.append(event)
    assert stream.finished is not None, stream.error
    return Heard(tuple(deltas), stream.finished, tuple(stream.answer), stream.logits)


def undrafted(rig: EngineHarness, tokens: tuple[int, ...], new: int, **fields: Any) -> Heard:
    """Alone, from scratch, leaving nothing behind."""
    fields = {"reuse": False, "register": False, "speculate": False, **fields}
    return heard(rig.submit(tokens, max_tokens=new, score_from=len(tokens) - 1, **fields))


@dataclass(frozen=True)
class Asked:
    family: int
    tail: int
    new: int
    sampling: Sampling
    walk: int | None
    """Length of its grammar's answers."""
    errors: tuple[int, ...]

    def submit(self, rig: EngineHarness, **fields: Any) -> Stream:
        tokens = prompt(6000 + self.family, 210) + prompt(6100 + self.tail, self.tail)
        return rig.submit(
            tokens,
            max_tokens=self.new,
            sampling=self.sampling,
            seed=self.tail,
            score_from=len(tokens) - 1,
            constraint=None if self.walk is None else Walk(range(30, 95), self.walk, ends={EOS}),
            **fields,
        )


requests = st.builds(
    Asked,
    family=st.integers(0, 1),
    tail=st.integers(1, 60),
    new=st.sampled_from([8, 20, 45]),
    sampling=samplings,
    walk=st.sampled_from([None, None, None, 3, 40]),
    errors=st.lists(st.integers(0, 45), max_size=4).map(tuple),
)


@pytest.fixture(scope="module")
def shared_rig(llama: TileModel, vocabulary: Vocabulary) -> Iterator[EngineHarness]:
    rig = make_harness(llama, vocabulary, pages=16, max_context=1024, eos_ids=frozenset({EOS}))
    yield rig
    rig.close()


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mix=st.lists(requests, min_size=1, max_size=6))
def test_any_parameters_in_any_mix(shared_rig: EngineHarness, mix: list[Asked]) -> None:
    plain = [heard(a.submit(shared_rig, speculate=False, reuse=False, register=False)) for a in mix]
    drafted = shared_rig.engine.drafts.drafted
    together = [
        a.submit(shared_rig, predicted=spoiled(p.answer, a.errors)) for a, p in zip(mix, plain, strict=True)
    ]
    assert all(heard(s).same(p) for s, p in zip(together, plain, strict=True))
    assert shared_rig.engine.drafts.drafted > drafted or all(len(p.answer) < 4 for p in plain)
    for asked, own in zip(mix, plain, strict=True):
        assert heard(asked.submit(shared_rig, predicted=spoiled(own.answer, asked.errors[:1]))).same(own)
    shared_rig.check()


def test_drafts_were_accepted_and_rejected(shared_rig: EngineHarness) -> None:
    """Else the equalities above would prove nothing. Runs behind them, on the same engine."""
    counts = shared_rig.engine.drafts
    assert counts.drafted > counts.accepted + 50 > 500
    assert counts.steps < counts.tokens <= counts.steps + counts.accepted


def test_every_model_and_dtype_over_a_page_boundary(any_model: TileModel, rigs: HarnessMaker) -> None:
    rig = rigs(any_model)
    starts = [PAGE_TOKENS - n for n in (1, 2, 9, 17, 40)]
    for asked in (GREEDY, Sampling(temperature=0.8, top_p=0.9)):
        prompts = [prompt(6200 + s, s) for s in starts]
        plain = [undrafted(rig, p, 40, sampling=asked) for p in prompts]
        steps = rig.engine.drafts.steps
        again = [
            rig.submit(
                p,
                max_tokens=40,
                sampling=asked,
                score_from=len(p) - 1,
                predicted=spoiled(own.answer, (7, 30)),
                reuse=False,
                register=False,
            )
            for p, own in zip(prompts, plain, strict=True)
        ]
        assert all(heard(s).same(p) for s, p in zip(again, plain, strict=True))
        assert rig.engine.drafts.steps - steps < 5 * 30


@pytest.mark.parametrize("errors", [(), (5,), (5, 20, 21), tuple(range(60))])
def test_the_pages_left_behind_are_those_of_no_draft(
    rigs: HarnessMaker, llama: TileModel, errors: tuple[int, ...]
) -> None:
    tokens = prompt(6400, PAGE_TOKENS - 30)
    left = []
    for speculate in (False, True):
        rig = rigs(llama)
        answer = rig.cold(tokens, max_tokens=60, speculate=False).answer
        rig.run(tokens, max_tokens=60, speculate=speculate, predicted=spoiled(answer, errors))
        nodes = rig.on_engine(lambda rig=rig: list(rig.cache.index))  # type: ignore[misc]  # as a default it has no type
        pages = {n.key: (n.token_ids, rig.cache.pool.rows(n.page)) for n in nodes}
        turn = (*tokens, *answer, *prompt(6401, 20))
        cold = rig.score(turn, len(tokens), reuse=False, register=False)
        hit = rig.score(turn, len(tokens) + 59)
        assert hit.cached == len(tokens) + 59
        assert torch.equal(hit.logits, cold.logits[59:])
        left.append(pages)
    without, with_drafts = left
    assert without.keys() == with_drafts.keys()
    for key, (token_ids, kv) in without.items():
        used = len(token_ids)
        assert with_drafts[key][0] == token_ids
        assert torch.equal(with_drafts[key][1][..., :used, :], kv[..., :used, :])


def test_the_answer_of_a_cancelled_request_is_exact(rigs: HarnessMaker, llama: TileModel) -> None:
    rig = rigs(llama)
    tokens = prompt(6500, 200)
    answer = rig.cold(tokens, max_tokens=400, speculate=False).answer
    stream = rig.submit(tokens, max_tokens=400, predicted=spoiled(answer, tuple(range(3, 400, 7))))
    while len(stream.text) < 100:
        stream.next()
    rig.engine.cancel(stream.sequence)
    rig.wait_for(lambda: stream.sequence.phase is Phase.ENDED)
    turn = (*tokens, *answer)
    hit = rig.score(turn, len(turn) - 100)
    assert hit.cached >= 290
    assert torch.equal(hit.logits, rig.score(turn, len(turn) - 100, reuse=False).logits)


class TestEnds:
    """Inside a run of accepted tokens, an answer ends where it would have ended."""

    @pytest.fixture
    def plain(self, rig: EngineHarness) -> list[int]:
        return rig.cold(prompt(6600, 60), max_tokens=40, speculate=False).answer

    @pytest.mark.parametrize("at", range(3, 20))
    def test_a_stop_token(self, rigs: HarnessMaker, plain: list[int], at: int) -> None:
        rig = rigs(eos_ids=frozenset({plain[at]}))
        stream = rig.run(prompt(6600, 60), max_tokens=40, predicted=tuple(plain))
        assert stream.answer == plain[: plain.index(plain[at]) + 1]
        assert stream.finished is not None and stream.finished.reason == "stop"
        assert stream.finished.usage.completion_tokens == len(stream.answer)
        assert stream.sequence.computed == len(stream.sequence.tokens) - 1

    @pytest.mark.parametrize("new", range(8, 24))
    def test_max_tokens(self, rig: EngineHarness, plain: list[int], new: int) -> None:
        stream = rig.run(prompt(6600, 60), max_tokens=new, predicted=tuple(plain))
        assert stream.answer == plain[:new]
        assert stream.finished is not None and stream.finished.reason == "length"
        assert stream.sequence.computed == stream.sequence.last_position

    def test_a_stop_string(self, rig: EngineHarness, plain: list[int]) -> None:
        text = "".join(map(chr, plain))
        for at in range(4, 20):
            asked = replace(GREEDY, stop=(text[at : at + 2],))
            stream = rig.run(prompt(6600, 60), max_tokens=40, sampling=asked, predicted=tuple(plain))
            assert stream.text == text[: text.index(text[at : at + 2])]
            assert len(stream.answer) == text.index(text[at : at + 2]) + 2

    def test_a_grammar_that_breaks_says_so_at_the_same_token(self, rig: EngineHarness) -> None:
        def walk(at: int | None) -> Walk:
            return Walk(range(30, 95), 40, breaks_at=at)

        own = rig.cold(prompt(6600, 60), max_tokens=40, constraint=walk(None), speculate=False).answer
        for at in (1, 6, 13):
            said = []
            for speculate in (False, True):
                stream = rig.submit(
                    prompt(6600, 60),
                    max_tokens=40,
                    constraint=walk(at),
                    speculate=speculate,
                    predicted=tuple(own),
                ).end()
                said.append((stream.text, str(stream.error)))
            assert said[0] == said[1] and len(said[0][0]) == at


def test_an_answer_that_fails_at_its_first_token_has_not_begun(rig: EngineHarness) -> None:
    """Its reader can still be told by a status."""
    stream = rig.submit(prompt(6600, 60), max_tokens=40, constraint=Walk({1}, 9, breaks_at=0)).end()
    assert stream.error is not None and stream.started is None


def test_a_prediction_saves_steps_and_its_reader_hears_how_many(rig: EngineHarness) -> None:
    tokens = prompt(6800, 120)
    plain = undrafted(rig, tokens, 60)
    counts = rig.engine.drafts

    def asked(predicted: tuple[int, ...] | None) -> tuple[int, tuple[int, int] | None]:
        """Steps that the same answer took, and what became of the prediction."""
        before = counts.steps
        again = heard(rig.submit(tokens, max_tokens=60, score_from=len(tokens) - 1, predicted=predicted))
        assert again.same(plain)
        return counts.steps - before, again.finished.usage.prediction

    alone, nothing = asked(None)
    empty, none_drafted = asked(())
    steps, right = asked(plain.answer)
    detour, some = asked(spoiled(plain.answer, (20,)))
    assert nothing is None and none_drafted == (0, 0) and alone == empty
    assert right is not None and some is not None
    assert steps < detour < alone
    assert right[0] >= 60 - 1 - steps and right[0] > some[0] > 0 < some[1]
    short = rig.run(tokens, max_tokens=4, predicted=plain.answer).finished
    assert short is not None and short.usage.prediction == (0, 0)


def test_no_draft_where_it_is_switched_off_or_the_answer_is_short(rig: EngineHarness) -> None:
    repeating = prompt(6700, 30) * 4
    rig.run(repeating, max_tokens=30, speculate=False)
    rig.run(repeating, max_tokens=4)
    rig.run(repeating, max_tokens=0)
    assert rig.engine.drafts.drafted == 0
    rig.run(repeating, max_tokens=30, predicted=prompt(6701, 20))
    assert rig.engine.drafts.drafted > 0


def test_on_a_real_model(small_model: TileModel, smollm2: Path, rigs: HarnessMaker) -> None:
    tokenizer = Tokenizer.load(smollm2)
    rig = rigs(small_model, vocabulary=Vocabulary(smollm2), pages=24, eos_ids=tokenizer.eos_ids)
    schema = {"type": "object", "properties": {"names": {"type": "array", "items": {"enum": ["Ann", "Bob"]}}}}
    grammars = Grammars(smollm2, tokenizer.eos_ids, small_model.vocab_size, grammar_of)
    json = grammars.compile_now(Constraint(format=JsonFormat(schema)))
    source = random.Random(8)
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
    said = [source.choice(words) for _ in range(50)]
    tokens = tuple(tokenizer.encode_text(" ".join(said) + "\n\n" + " ".join(said[:20])))
    asked = [
        Sampling(temperature=0.0, logprobs=20),
        Sampling(temperature=0.7, top_p=0.95, logprobs=3, frequency_penalty=0.1),
        Sampling(temperature=0.0, repetition_penalty=1.1),
        Sampling(temperature=0.0),
    ]

    def submit(i: int, *, speculate: bool) -> Stream:
        return rig.submit(
            tokens,
            max_tokens=16,
            sampling=asked[i],
            seed=i,
            score_from=len(tokens) - 1,
            constraint=json.start() if i == 3 else None,
            speculate=speculate,
            reuse=speculate,
        )

    plain = [heard(submit(i, speculate=False)) for i in range(4)]
    assert heard(submit(0, speculate=True)).same(plain[0])
    together = [submit(i, speculate=True) for i in range(4)]
    assert all(heard(s).same(p) for s, p in zip(together, plain, strict=True))
    assert rig.engine.drafts.accepted > 10
