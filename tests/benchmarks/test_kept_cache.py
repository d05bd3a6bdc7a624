from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kept_cache import KEPT, Model, Usage

DOCUMENT = "The lighthouse keeper wrote down every ship that passed. " * 8


@pytest.fixture(scope="module")
def model(smollm2: Path) -> Model:
    return Model(smollm2)


def ask(model: Model, text: str, salt: str = "") -> tuple[str, Usage]:
    usage = Usage()
    body = {
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 3,
        "cache_salt": salt,
        "ignore_eos": True,
    }
    return "".join(model.answer(body, usage)), usage


def test_the_next_reader_takes_what_the_prompts_share(model: Model) -> None:
    model.kept.clear()
    first, cold = ask(model, DOCUMENT + "Who wrote?")
    assert (cold.cached, cold.completion) == (0, 3)
    (kept,) = model.kept
    assert kept.cache.get_seq_length() == len(kept.tokens) == cold.prompt
    again, same = ask(model, DOCUMENT + "Who wrote?")
    assert (again, same.cached) == (first, cold.prompt - 1)
    _, warm = ask(model, DOCUMENT + "What passed?")
    assert cold.prompt - 20 < warm.cached < warm.prompt - 3
    assert (
        model.kept == [kept] and kept.cache.get_seq_length() == cold.prompt
    )  # readers changed their copies only


def test_another_salt_finds_nothing_and_only_the_last_few_are_kept(model: Model) -> None:
    model.kept.clear()
    for n in range(KEPT + 1):
        assert ask(model, "Hello", str(n))[1].cached == 0
    assert [k.salt for k in model.kept] == ["4", "3", "2", "1"]
    assert ask(model, "Hello", "0")[1].cached == 0
