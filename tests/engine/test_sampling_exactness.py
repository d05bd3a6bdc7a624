"""A hit is a miss to the bit under any sampling parameter, alone and in company."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.core import Constraint, JsonFormat, Sampling
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine.decode.compiled_grammars import Grammars
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.events import Finished, FinishReason, TextDelta
from kvproxy.wire.answer_formats.answer_grammar import grammar_of
from tests.engine.constraints import Walk
from tests.engine.harness import EngineHarness, HarnessMaker, Stream, make_harness
from tests.engine.tiny import prompt

EOS = 13

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.0, 0.6, 1.4]),
    top_p=st.sampled_from([1.0, 0.9]),
    top_k=st.sampled_from([0, 12]),
    min_p=st.sampled_from([0.0, 0.05]),
    presence_penalty=st.sampled_from([0.0, 0.0, 0.8, -0.4]),
    frequency_penalty=st.sampled_from([0.0, 0.0, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.0, 1.2]),
    logit_bias=st.sampled_from([(), (), ((EOS, 1.5), (40, -2.0))]),
    min_tokens=st.integers(0, 8),
    ignore_eos=st.booleans(),
    stop=st.sampled_from([(), (), ("A", "!#")]),
    stop_token_ids=st.sampled_from([(), (), (44, 50)]),
    logprobs=st.sampled_from([None, 0, 5]),
)


@dataclass(frozen=True)
class Asked:
    family: int
    shared: int
    """Length of the prompt that it shares with its family."""
    tail: int
    sampling: Sampling
    walk: int | None
    """Length of its grammar's answers."""
    keep_until: int | None

    def tokens(self) -> tuple[int, ...]:
        return prompt(3000 + self.family, 400)[: self.shared] + prompt(4000 + self.tail, self.tail)

    def submit(self, rig: EngineHarness, **fields: Any) -> Stream:
        return rig.submit(
            self.tokens(),
            max_tokens=14,
            sampling=self.sampling,
            seed=self.tail,
            keep_until=self.keep_until,
            constraint=None if self.walk is None else Walk(range(30, 95), self.walk, ends={EOS}),
            **fields,
        )


requests = st.builds(
    Asked,
    family=st.integers(0, 1),
    shared=st.integers(0, 400),
    tail=st.integers(1, 60),
    sampling=samplings,
    walk=st.sampled_from([None, None, 3, 20]),
    keep_until=st.sampled_from([None, None, 0, 290]),
)


def heard(stream: Stream) -> tuple[list[TextDelta], FinishReason, str | None, list[int]]:
    """All that depends on the request alone: text, logprobs to the bit, reason, tokens."""
    deltas = []
    while stream.finished is None and stream.error is None:
        event = stream.next()
        if isinstance(event, TextDelta):
            deltas.append(event)
    last = stream.finished
    assert isinstance(last, Finished), stream.error
    return deltas, last.reason, last.stopped_by, stream.answer


@pytest.fixture(scope="module")
def shared_rig(llama: TileModel, vocabulary: Vocabulary) -> Iterator[EngineHarness]:
    """One engine for all examples, so that each finds what those before it left, and too few pages for all."""
    rig = make_harness(llama, vocabulary, pages=12, max_context=1024, eos_ids=frozenset({EOS}))
    yield rig
    rig.close()


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mix=st.lists(requests, min_size=1, max_size=7))
def test_any_parameters_in_any_mix_give_each_its_cold_answer(
    shared_rig: EngineHarness, mix: list[Asked]
) -> None:
    together = [asked.submit(shared_rig) for asked in mix]
    results = [heard(stream) for stream in together]
    again = [heard(asked.submit(shared_rig)) for asked in mix]
    for asked, result, repeated in zip(mix, results, again, strict=True):
        cold = heard(asked.submit(shared_rig, reuse=False, register=False))
        assert result == cold
        assert repeated == cold
    shared_rig.check()


def test_the_parameters_do_something(shared_rig: EngineHarness) -> None:
    """Else the equalities above would prove nothing."""
    plain = Asked(0, 300, 20, Sampling(temperature=0.0), None, None)
    changed = [
        replace(plain, sampling=Sampling(temperature=1.4)),
        replace(plain, sampling=Sampling(temperature=0.0, presence_penalty=2.0, frequency_penalty=2.0)),
        replace(plain, sampling=Sampling(temperature=0.0, repetition_penalty=1.8)),
        replace(plain, sampling=Sampling(temperature=0.0, logit_bias=((40, 60.0),))),
        replace(plain, sampling=Sampling(temperature=0.0, logprobs=2)),
        replace(plain, walk=3),
    ]
    own = heard(plain.submit(shared_rig))
    assert all(heard(asked.submit(shared_rig)) != own for asked in changed)


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def test_on_a_real_model(small_model: TileModel, smollm2: Path, rigs: HarnessMaker) -> None:
    eos_ids = Tokenizer.load(smollm2).eos_ids
    rig = rigs(small_model, vocabulary=Vocabulary(smollm2), pages=24, eos_ids=eos_ids)
    grammars = Grammars(smollm2, eos_ids, small_model.vocab_size, grammar_of)
    json = grammars.compile_now(Constraint(format=JsonFormat(SCHEMA)))
    source = random.Random(2)
    tokens = tuple(source.randrange(100, 40_000) for _ in range(300))
    named = tuple((i, 2.0) for i in {source.randrange(100, 40_000) for _ in range(300)})
    asked = [
        Sampling(temperature=0.0, logprobs=20, repetition_penalty=1.2),
        Sampling(temperature=0.9, top_p=0.95, logprobs=3, presence_penalty=0.7, frequency_penalty=0.2),
        Sampling(temperature=1.1, min_p=0.02, logit_bias=named, logprobs=0),
        Sampling(temperature=0.8, top_k=50, logprobs=2),
    ]

    def submit(i: int, **fields: Any) -> Stream:
        constraint = json.start() if i == 3 else None
        return rig.submit(tokens, max_tokens=10, sampling=asked[i], seed=i, constraint=constraint, **fields)

    colds = [heard(submit(i, reuse=False, register=False)) for i in range(4)]
    together = [submit(i) for i in range(4)]
    assert [heard(s) for s in together] == colds
    hits = [submit(i) for i in range(4)]
    assert [heard(s) for s in hits] == colds
    assert all(s.cached >= 256 for s in hits)
    assert len({tuple(c[3]) for c in colds}) == 4
    assert all(len(t.top) == 20 for d in colds[0][0] for t in d.logprobs)
    assert "".join(d.text for d in colds[3][0]).startswith('{"name": "')


def test_a_mask_leaves_the_models_own_logits_alone(rig: EngineHarness) -> None:
    """One answer's mask must not reach the row that scoring keeps."""
    tokens = prompt(31, 50)
    own = rig.cold(tokens, max_tokens=1, score_from=49).logits
    masked = rig.run(tokens, max_tokens=1, score_from=49, constraint=Walk({5, 6}, 4)).logits
    assert torch.equal(own, masked) and torch.isfinite(masked).all()
