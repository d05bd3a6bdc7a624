"""Both sides run the same prompts on the same weights, in turn or one after the other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from kvproxy.bench.engine.driver import random_ids
from kvproxy.bench.engine.side_by_side import Case, Times, open_duel
from kvproxy.bench.engine.transformers_baseline import Baseline, load_plain


@pytest.mark.parametrize("memory", [2**40, 0], ids=["in turn", "one after the other"])
def test_a_duel(memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))
    seen: list[tuple[int, int]] = []
    cases = [Case(70, 1), Case(300, 3)]
    with open_duel("shape:tiny", tokens=512, cache_dir=tmp_path) as duel:
        assert duel.in_turn == (memory > 0)
        outcomes = duel.play(cases, 2, lambda done, total: seen.append((done, total)))
        # Before and after, and between the two where there is a between.
        assert len(duel.drift) == (2 if duel.in_turn else 3)
        assert all(x > 0 for x in duel.drift)
        ours = duel.rig.run(random_ids(300, 512, 1), max_tokens=3)
        assert ours.cached_tokens == 0, "a duel leaves nothing behind"
    assert [o.case for o in outcomes] == cases
    for outcome in outcomes:
        assert len(outcome.theirs) == len(outcome.ours) == 2
        assert all(isinstance(t, Times) and t.ttft_s > 0 for t in (*outcome.theirs, *outcome.ours))
        assert all((t.token_s > 0) == (outcome.case.new_tokens > 1) for t in (*outcome.theirs, *outcome.ours))
    assert seen[0] == (0, 8) and seen[-1] == (8, 8)


def test_transformers_alone_generates_what_its_own_generate_does(tmp_path: Path) -> None:
    module = load_plain("shape:tiny", "float32", cache_dir=tmp_path)
    prompt = random_ids(40, 512)
    made = Baseline(module).generate(prompt, 5)
    ids = module.generate(
        module.dummy_inputs["input_ids"].new_tensor([prompt]),
        max_new_tokens=5,
        do_sample=False,
        eos_token_id=-1,
    )
    assert list(made.tokens) == ids[0, 40:].tolist()
    assert made.ttft_s > 0 and len(made.gaps_s) == 4
    assert Baseline(module).first_token(prompt) > 0
