"""Events of the engine, and jobs that it refuses."""

from __future__ import annotations

from kvproxy.core import MissReason, Sampling
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.errors import (
    HitLost,
)
from kvproxy.events import Finished, Started, TextDelta
from tests.engine.harness import EngineHarness, HarnessMaker
from tests.engine.tiny import VOCAB, prompt


class TestEvents:
    def test_started_then_text_then_finished(self, rig: EngineHarness) -> None:
        stream = rig.submit(prompt(1, 50), max_tokens=6)
        events = []
        while stream.finished is None:
            events.append(stream.next())
        assert isinstance(events[0], Started) and isinstance(events[-1], Finished)
        assert all(isinstance(e, TextDelta) and e.text for e in events[1:-1])
        assert stream.finished.reason == "length"
        usage = stream.finished.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (50, 6, 0)
        assert usage.cache_write_tokens == 50

    def test_an_end_token_stops_and_is_counted_but_not_shown(self, rigs: HarnessMaker) -> None:
        tokens = prompt(2, 50)
        answer = rigs().cold(tokens, max_tokens=30).answer
        end = answer[9]
        stream = rigs(eos_ids=frozenset({end})).run(tokens, max_tokens=30)
        assert stream.finished is not None and stream.finished.reason == "stop"
        assert stream.answer == answer[: answer.index(end) + 1]
        assert stream.finished.usage.completion_tokens == answer.index(end) + 1

    def test_a_stop_string_ends_the_answer_before_it(self, rig: EngineHarness) -> None:
        tokens = prompt(3, 50)
        text = rig.cold(tokens, max_tokens=30).text
        stop = text[8:11]
        stream = rig.run(tokens, max_tokens=30, sampling=Sampling(temperature=0.0, stop=(stop,)))
        assert stream.text == text[: text.index(stop)]
        assert stream.finished is not None and stream.finished.reason == "stop"

    def test_a_prefill_only_job_ends_without_a_token(self, rig: EngineHarness) -> None:
        first = rig.run(prompt(4, 600), max_tokens=0)
        assert first.answer == [] and first.cached == 0
        again = rig.run(prompt(4, 600), max_tokens=0)
        assert again.cached == 600, "nothing is generated, so the last token is taken from pages too"
        assert again.finished is not None and again.finished.usage.cache_write_tokens == 0

    def test_progress_counts_to_the_end_of_the_prompt(self, rig: EngineHarness) -> None:
        seen: list[tuple[int, int]] = []
        rig.submit(prompt(5, 700), on_progress=lambda *p: seen.append(p)).end()
        assert seen[-1] == (700, 700) and len(seen) > 1
        assert seen == sorted(seen)


class TestRefusals:
    def test_require_cached_fails_rather_than_prefills(self, rig: EngineHarness) -> None:
        stream = rig.run(prompt(1, 400), require_cached=1)
        assert isinstance(stream.error, HitLost)
        assert stream.error.reason is MissReason.NOT_RESIDENT
        rig.run(prompt(1, 300))
        assert rig.run(prompt(1, 400), require_cached=300).cached == 300


def test_the_vocabulary_of_the_tests_covers_the_model(vocabulary: Vocabulary) -> None:
    assert all(len(vocabulary.token_bytes(i)) == 1 for i in range(VOCAB))
