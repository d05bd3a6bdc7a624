from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvproxy.core import KnownPrefix, PageKeys, Sampling
from kvproxy.engine.loop.admission import Limits
from kvproxy.engine.loop.sequence import Job
from kvproxy.errors import InvalidRequest

LIMITS = Limits(max_context=1000, pages=3, vocabulary=50)


def job(sampling: Sampling | None = None, **fields: Any) -> Job:
    made = Job("x", (1, 2, 3), sampling or Sampling(), 4, "a", ("a",), 0)
    return replace(made, **fields)


def test_ids_of_the_vocabulary_pass() -> None:
    smaller = replace(LIMITS, vocabulary=49)
    for passes in (
        job(Sampling(logit_bias=((0, 1.0), (49, 1.0)), stop_token_ids=(0, 49))),
        job(token_ids=(0, 49), predicted=(49, 0)),
    ):
        LIMITS.check(passes)
        with pytest.raises(InvalidRequest):
            smaller.check(passes)
    LIMITS.check(job(predicted=()))


@pytest.mark.parametrize("wrong", [-1, 50, 10**12])
@pytest.mark.parametrize("param", ["logit_bias", "stop_token_ids", "prompt", "prediction"])
def test_other_ids_are_refused_by_name(param: str, wrong: int) -> None:
    asked = {
        "logit_bias": job(Sampling(logit_bias=((3, 1.0), (wrong, 1.0)))),
        "stop_token_ids": job(Sampling(stop_token_ids=(3, wrong))),
        "prompt": job(token_ids=(3, wrong, 3)),
        "prediction": job(predicted=(3, wrong, 3)),
    }[param]
    with pytest.raises(InvalidRequest, match=rf"{wrong} is no token.*0 to 49") as caught:
        LIMITS.check(asked)
    assert caught.value.param == param


@pytest.mark.parametrize("ids", [(50, 1, 2, 3), (1, 2, -1, 3), (1, 2, 3, 50), (1, 2, 3, 4)])
@pytest.mark.parametrize("known", [0, 2, 4, 9])
def test_ids_of_a_known_prefix_are_bounded_too(ids: tuple[int, ...], known: int) -> None:
    asked = job(token_ids=ids, known=KnownPrefix(known, PageKeys()))
    assert {min(ids), max(ids)} <= set(asked.bounds()) == set(asked.bounds())
    for _ in range(2):
        if max(ids) == 50 or min(ids) < 0:
            with pytest.raises(InvalidRequest):
                LIMITS.check(asked)
        else:
            LIMITS.check(asked)
