"""The figures of a simulated run: hit rate, waits, balance, and the way back after replicas left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kvproxy.bench.fleet_simulation.simulated_fleet import ReplicaPlan, ServedTurn

WINDOWS = 40
"""Equal parts of a run in time, each with its hit rate."""
RECOVERED = 0.98
"""The share of the hit rate that a smaller fleet settles at, from which it counts as recovered."""
SETTLED = 8
"""The last parts of a run, whose mean is where it has settled."""


def run_figures(served: Sequence[ServedTurn], begin: float, plan: ReplicaPlan) -> dict[str, Any]:
    """Return the figures of the requests that arrived at ``begin`` or later; seconds and shares. ``imbalance``: the
    most seconds that a replica was busy, over the mean.

    Example: ``run_figures(fleet.served, 100.0, plan)``
    """
    kept = [turn for turn in served if turn.at >= begin]
    waits = np.array([turn.first_token_s for turn in kept])
    busy: dict[str, float] = dict.fromkeys(plan.names(), 0.0)
    for turn in kept:
        busy[turn.replica] += plan.prefill_s(turn.prompt_tokens - turn.hit_tokens)
    work = np.array(list(busy.values()))
    return {
        "requests": len(kept),
        "hit_rate": round(hit_rate(kept), 4),
        "first_token_p50_s": round(float(np.percentile(waits, 50)), 3),
        "first_token_p99_s": round(float(np.percentile(waits, 99)), 3),
        "imbalance": round(float(work.max() / work.mean()), 3),
        "spilled": round(sum(turn.spilled for turn in kept) / len(kept), 4),
    }


def hit_rate(served: Collection[ServedTurn]) -> float:
    """Return the share of prompt tokens that were cached."""
    return sum(turn.hit_tokens for turn in served) / max(1, sum(turn.prompt_tokens for turn in served))


def decision_figures(nanoseconds: Sequence[int]) -> dict[str, float]:
    """Return the process time of a routing decision, in milliseconds."""
    ms = np.array(nanoseconds) / 1e6
    return {f"p{share}_ms": round(float(np.percentile(ms, share)), 4) for share in (50, 99)}


def windowed(served: Sequence[ServedTurn], end: float) -> list[dict[str, float]]:
    """Return hit rate and p99 of the wait in each of `WINDOWS` parts of the time up to ``end``, by arrival."""
    parts: list[list[ServedTurn]] = [[] for _ in range(WINDOWS)]
    for turn in served:
        parts[min(WINDOWS - 1, int(turn.at / end * WINDOWS))].append(turn)
    return [
        {
            "at_s": round(number * end / WINDOWS, 1),
            "hit_rate": round(hit_rate(part), 4),
            "first_token_p99_s": round(_p99([turn.first_token_s for turn in part]), 3),
        }
        for number, part in enumerate(parts)
    ]


def recovery(windows: Sequence[dict[str, float]], undisturbed: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Compare a run of which replicas left at half time with the same traffic's run of which none did.

    Fewer replicas have less cache, so the hit rate settles lower: at the last `SETTLED` parts' share of the other run.
    ``recovery_s``: seconds until two parts in a row have `RECOVERED` of that share; None where that is not reached.

    Example: ``recovery(windowed(broken.served, end), windowed(whole.served, end))``
    """
    half = WINDOWS // 2
    shares = [
        after["hit_rate"] / max(1e-9, whole["hit_rate"])
        for after, whole in zip(windows[half:], undisturbed[half:], strict=True)
    ]
    settled = sum(shares[-SETTLED:]) / SETTLED
    back = [share >= RECOVERED * settled for share in shares]
    both = [number for number in range(len(back) - 1) if back[number] and back[number + 1]]
    width = windows[1]["at_s"] - windows[0]["at_s"]
    return {
        "window_s": round(width, 1),
        "settled_share": round(settled, 4),
        "just_after": {"hit_rate": windows[half]["hit_rate"], "undisturbed": undisturbed[half]["hit_rate"]},
        "at_end": {
            "hit_rate": _mean(windows[-4:], "hit_rate"),
            "undisturbed": _mean(undisturbed[-4:], "hit_rate"),
        },
        "recovery_s": round(both[0] * width, 1) if both else None,
        "first_token_p99_s": {
            "just_after": windows[half]["first_token_p99_s"],
            "undisturbed": undisturbed[half]["first_token_p99_s"],
        },
    }


def _mean(windows: Sequence[dict[str, float]], figure: str) -> float:
    return round(sum(window[figure] for window in windows) / len(windows), 4)


def _p99(values: list[float]) -> float:
    array: npt.NDArray[np.float64] = np.array(values)
    return float(np.percentile(array, 99)) if len(array) else 0.0
