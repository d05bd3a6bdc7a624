"""Sampling parameters, constraints and logprobs, as the events of an answer show them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvproxy.core import Sampling
from kvproxy.errors import InvalidRequest
from kvproxy.events import FinishReason, TextDelta
from tests.engine.constraints import Walk
from tests.engine.harness import EngineHarness, HarnessMaker, Stream
from tests.engine.tiny import prompt

GREEDY = Sampling(temperature=0.0)
ASKED = prompt(11, 60)


def deltas_of(stream: Stream) -> list[TextDelta]:
    events = []
    while stream.finished is None and stream.error is None:
        events.append(stream.next())
    return [e for e in events if isinstance(e, TextDelta)]


def reason_of(stream: Stream) -> FinishReason:
    assert stream.finished is not None, stream.error
    return stream.finished.reason


@pytest.fixture
def plain(rig: EngineHarness) -> list[int]:
    """The model's greedy answer."""
    return rig.cold(ASKED, max_tokens=30, sampling=GREEDY).answer


class TestEnds:
    def test_a_stop_token_ends_like_an_end_token(self, rig: EngineHarness, plain: list[int]) -> None:
        end = plain[9]
        stream = rig.run(ASKED, max_tokens=30, sampling=replace(GREEDY, stop_token_ids=(end,)))
        assert stream.answer == plain[: plain.index(end) + 1]
        assert stream.text == "".join(map(chr, plain[: plain.index(end)]))
        assert reason_of(stream) == "stop"

    def test_no_end_before_min_tokens(self, rigs: HarnessMaker, plain: list[int]) -> None:
        first, eos = plain[0], plain[1]
        rig = rigs(eos_ids=frozenset({eos}))
        asked = replace(GREEDY, stop_token_ids=(first,), min_tokens=12)
        stream = rig.run(ASKED, max_tokens=30, sampling=asked)
        assert len(stream.answer) >= 12
        assert not {first, eos} & set(stream.answer[:12])
        assert len(rig.run(ASKED, max_tokens=30, sampling=replace(asked, min_tokens=0)).answer) == 1

    def test_an_end_token_that_is_ignored_is_a_token_like_any_other(
        self, rigs: HarnessMaker, plain: list[int]
    ) -> None:
        rig = rigs(eos_ids=frozenset({plain[3]}))
        stream = rig.run(ASKED, max_tokens=30, sampling=replace(GREEDY, ignore_eos=True))
        assert stream.answer == plain and reason_of(stream) == "length"
        asked = replace(GREEDY, ignore_eos=True, stop_token_ids=(plain[3],))
        assert reason_of(rig.run(ASKED, max_tokens=30, sampling=asked)) == "stop"

    def test_a_stop_string_counts_after_min_tokens_only(self, rig: EngineHarness) -> None:
        text = rig.cold(ASKED, max_tokens=30).text
        stop = text[4:6]
        asked = replace(GREEDY, stop=(stop,))
        stopped = rig.run(ASKED, max_tokens=30, sampling=asked)
        assert stopped.text == text[: text.index(stop)]
        assert stopped.finished is not None and stopped.finished.stopped_by == stop
        late = rig.run(ASKED, max_tokens=30, sampling=replace(asked, min_tokens=text.index(stop) + 2))
        assert late.text.startswith(text[: text.index(stop) + 2])
        assert late.finished is not None and late.finished.usage.completion_tokens > text.index(stop) + 2

    def test_the_last_event_names_no_stop_string_where_none_ended_it(
        self, rig: EngineHarness, plain: list[int]
    ) -> None:
        stream = rig.run(
            ASKED, max_tokens=9, sampling=replace(GREEDY, stop=("never",), stop_token_ids=(plain[4],))
        )
        assert stream.finished is not None and stream.finished.stopped_by is None


class TestConstraints:
    def test_the_answer_ends_with_the_grammar_without_another_step(self, rig: EngineHarness) -> None:
        walk = Walk(range(60, 90), 7)
        stream = rig.run(ASKED, max_tokens=30, constraint=walk)
        assert stream.answer == walk.accepted and len(stream.answer) == 7
        assert reason_of(stream) == "stop"
        assert stream.text == "".join(map(chr, stream.answer)), "the last token is shown"
        assert stream.finished is not None and stream.finished.usage.completion_tokens == 7

    def test_max_tokens_cuts_a_grammar(self, rig: EngineHarness) -> None:
        stream = rig.run(ASKED, max_tokens=5, constraint=Walk(range(60, 90), 7))
        assert len(stream.answer) == 5 and reason_of(stream) == "length"

    def test_an_end_token_is_one_in_a_grammar_even_where_it_is_ignored(self, rigs: HarnessMaker) -> None:
        rig = rigs(eos_ids=frozenset({7}))
        asked = replace(GREEDY, ignore_eos=True, min_tokens=20)

        class Endless(Walk):
            """Says that the answer may end, never that it must."""

            @property
            def done(self) -> bool:
                return False

        stream = rig.run(ASKED, max_tokens=30, sampling=asked, constraint=Endless({60, 61}, 4, ends={7}))
        assert len(stream.answer) == 5 and stream.answer[-1] == 7
        assert reason_of(stream) == "stop" and len(stream.text) == 4

    @pytest.mark.parametrize("on_accept", [False, True])
    @pytest.mark.parametrize("at", [0, 3])
    def test_a_grammar_that_breaks_ends_its_answer_alone(
        self, rig: EngineHarness, at: int, on_accept: bool
    ) -> None:
        error = InvalidRequest("this grammar cannot go on")
        good = rig.cold(prompt(12, 60), max_tokens=20).answer
        mate = rig.submit(prompt(12, 60), max_tokens=20, register=False)
        broken = Walk(range(60, 90), 9, breaks_at=at, breaks_on_accept=on_accept, error=error)
        stream = rig.submit(ASKED, max_tokens=20, constraint=broken).end()
        assert stream.error is error
        assert (stream.started is None) == (at == 0)
        assert len(stream.text) == at
        assert mate.end().answer == good
        rig.check()


class TestLogprobs:
    def test_each_delta_has_those_of_its_tokens(self, rig: EngineHarness, plain: list[int]) -> None:
        stream = rig.submit(ASKED, max_tokens=12, sampling=replace(GREEDY, logprobs=3), register=False)
        deltas = deltas_of(stream)
        tokens = [t for d in deltas for t in d.logprobs]
        assert [t.chosen.token_id for t in tokens] == stream.answer == plain[:12]
        assert all(d.tokens == len(d.logprobs) for d in deltas)
        for token in tokens:
            assert token.chosen == token.top[0] and len(token.top) == 3, "greedy takes the likeliest"
            assert token.chosen.logprob >= token.top[1].logprob >= token.top[2].logprob
            assert token.chosen.text == bytes([token.chosen.token_id])

    def test_they_are_the_models_own_whatever_the_parameters(self, rig: EngineHarness) -> None:
        """The first token's place has the same logits; only the choice differs."""

        def first(sampling: Sampling, **fields: Any) -> tuple[object, ...]:
            (delta,) = deltas_of(rig.submit(ASKED, max_tokens=1, sampling=sampling, **fields))
            return delta.logprobs[0].top

        asked = replace(GREEDY, logprobs=5)
        own = first(asked)
        assert first(replace(asked, temperature=2.0, top_k=3, seed=4)) == own
        assert first(replace(asked, logit_bias=((5, 100.0),), repetition_penalty=2.0)) == own
        assert first(asked, constraint=Walk({80, 81}, 5)) == own

    def test_an_answer_without_logprobs_computes_none(self, rig: EngineHarness) -> None:
        stream = rig.submit(ASKED, max_tokens=12)
        assert all(d.logprobs == () and d.tokens == 1 for d in deltas_of(stream))

    def test_an_end_token_has_none(self, rig: EngineHarness, plain: list[int]) -> None:
        end = plain[5]
        asked = replace(GREEDY, logprobs=0, stop_token_ids=(end,))
        deltas = deltas_of(rig.submit(ASKED, max_tokens=12, sampling=asked))
        assert [t.chosen.token_id for d in deltas for t in d.logprobs] == plain[: plain.index(end)]


class TestParameters:
    def test_bias_forces_and_forbids(self, rig: EngineHarness, plain: list[int]) -> None:
        forced = rig.run(ASKED, max_tokens=5, sampling=replace(GREEDY, logit_bias=((77, 100.0),)))
        assert forced.answer == [77] * 5
        never = rig.run(
            ASKED, max_tokens=12, sampling=replace(GREEDY, logit_bias=tuple((t, -100.0) for t in {*plain}))
        )
        assert not {*never.answer} & {*plain}

    def test_penalties_keep_an_answer_from_repeating_itself(self, rig: EngineHarness) -> None:
        asked = replace(
            GREEDY, presence_penalty=2.0, frequency_penalty=2.0, logit_bias=((77, 9.0), (78, 8.9))
        )
        said = rig.run(ASKED, max_tokens=40, sampling=asked).answer
        assert {*said[:2]} == {77, 78}, "each time that it is said, a token costs 4 and then 2 more"
        assert len({*said}) > 5
        huge = replace(GREEDY, repetition_penalty=50.0)
        alone = rig.run(ASKED, max_tokens=12, sampling=huge).answer
        assert len({*alone}) == 12 and not {*alone[:3]} & {*ASKED}, "nor its prompt"

    def test_ids_beyond_the_vocabulary_are_refused_before_anything_starts(self, rig: EngineHarness) -> None:
        with pytest.raises(InvalidRequest) as caught:
            rig.submit(ASKED, sampling=replace(GREEDY, logit_bias=((101, 1.0),)))
        assert caught.value.param == "logit_bias"
