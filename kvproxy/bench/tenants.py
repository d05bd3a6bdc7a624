"""One tenant with all the sequences that an engine takes, and the cost of another's request beside them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kvproxy.bench.engine.driver import Rig
from kvproxy.errors import Overloaded


@dataclass(frozen=True, slots=True)
class TenantCrowd:
    """``sequences`` of one tenant come at once, more than there are places; those that are refused stay away."""

    sequences: int = 400
    prompt: int = 50
    """Tokens of each one's prompt."""
    answer: int = 200
    """Tokens of each one's answer: a page's worth with the prompt, so that all of them may run."""
    visitor: int = 600
    """Tokens of the other tenant's prompt, none of them kept."""
    visits: int = 8


def measure_crowd(rig: Rig, crowd: TenantCrowd, seeds: Iterator[int]) -> dict[str, Any]:
    """Seconds to the first token of another tenant's requests, one after another: alone, and beside the crowd, which
    must not end before they do. The engine's answers are of random tokens, without drafts.

    Example: ``measure_crowd(rig, TenantCrowd(), itertools.count())``
    """

    def visit() -> float:
        tokens = rig.prompt(crowd.visitor, next(seeds))
        return rig.run(tokens, max_tokens=1, register=False, tenant="visitor").ttft_s

    visit()
    alone = [visit() for _ in range(crowd.visits)]
    answers = []
    for _ in range(crowd.sequences):
        with suppress(Overloaded):
            answers.append(
                rig.submit(
                    rig.prompt(crowd.prompt, next(seeds)),
                    max_tokens=crowd.answer,
                    register=False,
                    tenant="crowd",
                )
            )
    full, waiting = rig.engine.full, rig.engine.load[1]
    beside = [visit() for _ in range(crowd.visits)]
    left = rig.engine.load[1]
    for answer in answers:
        rig.engine.cancel(answer.sequence)
    return {
        "sequences": crowd.sequences,
        "admitted": len(answers),
        "full": full,
        "waiting": waiting,
        "waiting_after": left,
        "alone_s": round(statistics.median(alone), 4),
        "beside_s": round(statistics.median(beside), 4),
        "beside_max_s": round(max(beside), 4),
        "ratio": round(statistics.median(beside) / statistics.median(alone), 2),
        "max_ratio": round(max(beside) / statistics.median(alone), 2),
        "visits": crowd.visits,
    }
