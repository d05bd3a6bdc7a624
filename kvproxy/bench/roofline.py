"""``kvproxy bench roofline``: prefill and decode beside the machine's ceilings, and beside transformers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvproxy.bench.engine.ceilings import Ceilings, CeilingWork, measure_ceilings
from kvproxy.bench.engine.side_by_side import Case, SideBySideOutcome, open_duel
from kvproxy.bench.engine.transformers_baseline import DTYPES
from kvproxy.bench.machine import engine_machine

PREFILL = (255, 1024, 3774)
DECODE = (255, 3774)
NEW = 32

FORMULAS = (
    "prefill bound = (2 x layer weights x n + 4 x layers x heads x head size x n(n+1)/2 + 2 x head weights) "
    "FLOP / best product",
    "decode bound = (all weights + KV of the positions before) bytes / best bandwidth",
)


def bench_roofline(
    model: str,
    *,
    cache_dir: Path,
    dtype: str = "bfloat16",
    prefill: Sequence[int] = PREFILL,
    decode: Sequence[int] = DECODE,
    new: int = NEW,
    repeats: int = 3,
    seconds: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Medians of ``repeats``; the ceilings are the best of ``seconds`` each. Times in seconds.

    Example: ``bench_roofline("smollm2-135m", cache_dir=folder, repeats=1)``
    """
    most = max((*prefill, *decode)) + new + 1
    # Without drafts: several tokens for one pass over the weights would be no stream that the bound speaks of.
    with open_duel(model, dtype=dtype, tokens=most, cache_dir=cache_dir, speculate=False) as duel:
        sizes = [n for n in sorted({*prefill, *decode}) if n + new <= duel.config.max_position_embeddings]
        cases = [Case(n, new if n in decode else 1) for n in sizes]
        outcomes = duel.play(cases, repeats, progress)
        ceilings = duel.on_thread(lambda: measure_ceilings(duel.shapes, DTYPES[dtype], seconds))
        return {
            "machine": duel.on_thread(engine_machine),
            "model": model,
            "dtype": dtype,
            "in_turn": duel.in_turn,
            "repeats": repeats,
            "ceilings": asdict(ceilings),
            "drift_gflops": [round(x, 1) for x in duel.drift],
            "formulas": list(FORMULAS),
            "roofline": rows(outcomes, duel.work, ceilings, prefill=prefill, decode=decode),
        }


def rows(
    outcomes: Sequence[SideBySideOutcome],
    work: CeilingWork,
    ceilings: Ceilings,
    *,
    prefill: Sequence[int],
    decode: Sequence[int],
) -> list[dict[str, Any]]:
    """One for each prompt that was prefilled, then one for each that was decoded behind. ``of_bound``: measured over
    the bound; ``of_transformers``: over transformers' time.

    Example: ``rows(outcomes, work, ceilings, prefill=(512,), decode=(512,))``
    """
    found = []
    for outcome in outcomes:
        if outcome.case.prompt_tokens in prefill:
            n = outcome.case.prompt_tokens
            ours = statistics.median(t.ttft_s for t in outcome.ours)
            theirs = statistics.median(t.ttft_s for t in outcome.theirs)
            found.append(_row("prefill", n, ours, theirs, work.prefill_flop(n) / ceilings.compute))
    for outcome in outcomes:
        if outcome.case.prompt_tokens in decode and outcome.case.new_tokens > 1:
            n, new = outcome.case.prompt_tokens, outcome.case.new_tokens
            ours = statistics.median(t.token_s for t in outcome.ours)
            theirs = statistics.median(t.token_s for t in outcome.theirs)
            # The tokens between the first and the last, on average.
            bound = work.decode_bytes(n + new // 2) / ceilings.bandwidth
            found.append(_row("decode, per token", n, ours, theirs, bound))
    return found


def _row(what: str, tokens: int, ours: float, theirs: float, bound: float) -> dict[str, Any]:
    return {
        "what": what,
        "tokens": tokens,
        "kvproxy_s": round(ours, 5),
        "bound_s": round(bound, 5),
        "of_bound": round(ours / bound, 3),
        "transformers_s": round(theirs, 5),
        "of_transformers": round(ours / theirs, 3),
    }
