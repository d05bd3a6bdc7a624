"""Work that lets others go first."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
import torch

from kvproxy.core import Sampling
from kvproxy.engine.decode.detokenizer import Detokenizer, Vocabulary
from kvproxy.engine.loop.scheduler import ready
from kvproxy.engine.loop.sequence import Job, Phase, Sequence
from kvproxy.errors import Overloaded
from tests.engine.harness import HarnessMaker
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import prompt


def sequence(vocabulary: Vocabulary, phase: Phase, served_at: float = 0.0, **fields: Any) -> Sequence:
    job = Job("x", (1, 2), Sampling(), 4, "a", ("a",), 0, **fields)
    made = Sequence(job, lambda event: None, Detokenizer(vocabulary))
    made.phase, made.served_at = phase, served_at
    return made


def test_the_patient_wait_for_the_others(vocabulary: Vocabulary) -> None:
    now = 100.0
    idler = sequence(vocabulary, Phase.PREFILL, patience_s=inf)
    fresh = sequence(vocabulary, Phase.PREFILL, now - 0.5, patience_s=1.0)
    stale = sequence(vocabulary, Phase.PREFILL, now - 2, patience_s=1.0)
    loading = sequence(vocabulary, Phase.LOADING)
    stream = sequence(vocabulary, Phase.DECODE, now)
    assert ready([idler, fresh, stale, loading, stream], now) == [stale, stream]
    assert ready([idler, fresh, stream], now) == [stream]
    assert ready([idler, loading], now) == [idler], "who only loads computes nothing"
    assert ready([idler, fresh], now) == [idler, fresh]
    assert ready([loading], now) == []


def test_an_audit_ends_after_the_streams_that_came_behind_it(rigs: HarnessMaker) -> None:
    rig = rigs(pages=48)
    order: list[str] = []
    idler = rig.submit(
        prompt(1, 1500),
        max_tokens=1,
        patience_s=inf,
        reuse=False,
        register=False,
        inspect=lambda s: order.append("idler"),
    )
    streams = [
        rig.submit(prompt(i, 40), max_tokens=30, inspect=lambda s: order.append("stream")) for i in (2, 3)
    ]
    for stream in streams:
        stream.end()
    before = idler.sequence.computed
    idler.end()
    assert before < 1500 and order.count("stream") >= 2
    # What it computed in between is what it would have computed alone.
    assert idler.answer == rig.cold(prompt(1, 1500), max_tokens=1).answer


@pytest.mark.parametrize("short", ["places", "pages"])
def test_an_audit_gives_way(rigs: HarnessMaker, short: str) -> None:
    stepped = SteppedModel()
    stepped.delay_s = 0.003  # The audit is still under way when the request comes.
    rig = rigs(stepped.model, pages=6, max_running=1) if short == "places" else rigs(stepped.model, pages=6)
    idler = rig.submit(prompt(1, 1200), max_tokens=200, patience_s=inf, reuse=False, register=False)
    rig.wait_for(lambda: idler.sequence.phase in (Phase.PREFILL, Phase.DECODE, Phase.ENDED))
    request = rig.run(prompt(2, 900), max_tokens=2)
    assert len(request.answer) == 2
    idler.end()
    assert isinstance(idler.error, Overloaded)


def test_a_verification_ends_beside_endless_traffic(rigs: HarnessMaker) -> None:
    rig = rigs(pages=48)
    stream = rig.submit(prompt(1, 30), max_tokens=1500)
    stream.begin()
    patient = rig.run(prompt(2, 100), max_tokens=2, patience_s=0.02, register=False)
    assert len(patient.answer) == 2
    rig.engine.cancel(stream.sequence)


def test_rows_that_are_computed_again_replace_what_they_were(vocabulary: Vocabulary) -> None:
    scoring = sequence(vocabulary, Phase.DECODE, score_from=1)
    with pytest.raises(ValueError, match="no position from 1 on was computed"):
        _ = scoring.scored
    scoring.score(0, torch.tensor([[0.0], [1.0], [9.0], [9.0]]))
    scoring.computed = 2
    assert scoring.scored.tolist() == [[1.0]]
    scoring.score(2, torch.tensor([[2.0], [3.0], [4.0], [5.0]]))
    scoring.computed = 5
    assert scoring.scored.tolist() == [[1.0], [2.0], [3.0], [4.0]], "5 positions can ever be needed"
