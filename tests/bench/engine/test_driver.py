"""The engine by token ids, as the benchmarks drive it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.bench.engine.driver import KVPage, Rig, open_rig, random_ids
from kvproxy.bench.engine.timed_answer import IdVocabulary
from kvproxy.core import Sampling
from kvproxy.errors import ContextTooLong, SetupError


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with open_rig("shape:tiny", tokens=4096, cache_dir=tmp_path_factory.mktemp("models"), disk=True) as rig:
        yield rig
        assert rig.check() == []


def test_an_answer_has_its_tokens_and_their_times(rig: Rig) -> None:
    cold = rig.run(rig.prompt(300, seed=1), max_tokens=7)
    assert len(cold.tokens) == 7 and len(cold.gaps_s) == 6
    assert cold.cached_tokens == 0
    assert 0 < cold.ttft_s <= cold.wall_s
    assert cold.ttft_s + sum(cold.gaps_s) <= cold.wall_s
    warm = rig.run(rig.prompt(300, seed=1), max_tokens=7)
    assert warm.cached_tokens == 299
    assert warm.tokens == cold.tokens


def test_a_job_without_an_answer_is_timed_to_its_end(rig: Rig) -> None:
    timed = rig.run(rig.prompt(40, seed=2), max_tokens=0)
    assert timed.tokens == () and timed.gaps_s == ()
    assert 0 < timed.ttft_s <= timed.wall_s


def test_reading_waits_for_so_many_tokens(rig: Rig) -> None:
    answer = rig.submit(rig.prompt(20, seed=3), max_tokens=30)
    answer.read(5)
    assert answer.sequence.generated >= 5
    assert len(answer.end().tokens) == 30
    assert answer.end() == answer.end()


def test_pages_that_were_forgotten_come_back_from_the_store(rig: Rig) -> None:
    prompt = rig.prompt(600, seed=4)
    rig.run(prompt, max_tokens=0, persist=True)
    rig.forget()
    assert rig.occupancy().held == 0
    timed = rig.run(prompt, max_tokens=1)
    assert timed.cached_tokens == 599 and timed.load_s > 0


def test_two_answers_are_compared_at_every_position(rig: Rig) -> None:
    prompt = rig.prompt(400, seed=5)
    rig.run(prompt, max_tokens=0, persist=True)
    cold = rig.submit(prompt, max_tokens=3, score_from=0, reuse=False, register=False)
    hit = rig.submit(prompt, max_tokens=3, score_from=300, register=False)
    assert cold.end().tokens == hit.end().tokens
    rows = rig.compare(hit, cold, 300)
    assert (rows.positions, rows.equal, rows.largest) == (102, 102, 0.0)
    other = rig.submit(rig.prompt(400, seed=6), max_tokens=3, score_from=300, register=False)
    other.end()
    assert rig.compare(other, cold, 300).largest > 0
    short = rig.submit(prompt, max_tokens=0, score_from=300, register=False)
    short.end()
    with pytest.raises(ValueError, match="compared 100 positions with 102"):
        rig.compare(short, cold, 300)
    assert rig.compare(short, cold, 300, 400).positions == 100


def test_what_is_written_over_a_page_is_what_a_reader_gets(rig: Rig) -> None:
    prompt = rig.prompt(300, seed=7)
    rig.run(prompt, max_tokens=0, persist=True)
    cold = rig.submit(prompt, max_tokens=1, score_from=299, reuse=False, register=False)
    cold.end()
    pages = rig.kv(prompt)
    assert [p.used for p in pages] == [256, 44]
    assert all(len(p.payload) == rig.page_bytes for p in pages)
    rig.overwrite([KVPage(p.page, p.used, bytes(len(p.payload))) for p in pages])
    lossy = rig.submit(prompt, max_tokens=1, score_from=299, register=False)
    lossy.end()
    assert rig.compare(lossy, cold, 299).largest > 0
    rig.forget()
    sound = rig.submit(prompt, max_tokens=1, score_from=299, register=False)
    assert sound.end().cached_tokens == 299
    assert rig.compare(sound, cold, 299).largest == 0.0


def test_sampling_and_failures_are_the_engines(rig: Rig) -> None:
    prompt = rig.prompt(20, seed=8)
    sampling = Sampling(temperature=1.0)
    assert (
        rig.run(prompt, max_tokens=8, sampling=sampling).tokens
        == rig.run(prompt, max_tokens=8, sampling=sampling).tokens
    )
    with pytest.raises(ContextTooLong):
        rig.run(rig.prompt(5000), max_tokens=1)


def test_prompts_differ_from_their_first_tokens_on() -> None:
    assert random_ids(50, 1000, 1) == random_ids(50, 1000, 1)
    assert random_ids(50, 1000, 1)[:3] != random_ids(50, 1000, 2)[:3]
    assert set(random_ids(1000, 5)) == set(range(5))


def test_every_token_is_text_of_its_own() -> None:
    vocabulary = IdVocabulary()
    assert vocabulary.byte_level
    assert vocabulary.token_bytes(17) == b"17 "
    assert vocabulary.decode([1, 22]) == "1 22 "


def test_a_model_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with (
        pytest.raises(SetupError, match="there is no shape:x"),
        open_rig("shape:x", tokens=1, cache_dir=tmp_path),
    ):
        pass
