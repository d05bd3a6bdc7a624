"""``kvproxy bench fair``: the cost of a long cold prompt to running streams, and of one tenant's many sequences to
another tenant."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from kvproxy.bench.engine.driver import GREEDY, SCOPE, Rig, open_rig
from kvproxy.bench.machine import engine_machine
from kvproxy.bench.tenants import TenantCrowd, measure_crowd
from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.sequence import Job
from kvproxy.engine.loop.sequence import Sequence as EngineSequence
from kvproxy.engine.tiling.numerics import Numerics
from kvproxy.errors import SetupError
from kvproxy.events import Event, Finished, TextDelta

MOST_TOKENS = 8192
"""Of a stream, which is cancelled when enough was seen."""
PLACES, QUEUE = 64, 256
"""Of sequences that run and that wait, as ``engine.max_running`` and ``engine.max_waiting`` are by default."""
_PATIENCE_S = 600.0
"""For the next token of a stream."""


@dataclass(frozen=True, slots=True)
class FairBenchPlan:
    """Sizes and counts of ``kvproxy bench fair``. Tokens, unless said otherwise."""

    prompt_tokens: int = 7500
    """Of the cold prompt."""
    known: int = 0
    """Resident tokens of them: the rest is measured, the dearest part of a long prompt."""
    streams: int = 4
    stream_prompt: int = 256
    gaps: int = 100
    """Undisturbed gaps of each stream, before the cold prompt and again after it."""
    hits: int = 8
    """Readers that come while the cold prompt is computed and no answer is streamed."""
    document: int = 2048
    """Tokens of their prompt that are kept."""
    tail: int = 25
    """Tokens of their prompt behind it."""
    crowd: TenantCrowd = field(default_factory=TenantCrowd)


class _Either(Pace):
    """The engine's own pace, or the baseline: a whole tile of a long prompt in each gap, as engines do that cut
    prompts into chunks of a fixed size."""

    paced = True

    def may_ride(self, rows: int, reach: int) -> bool:
        return not self.paced or super().may_ride(rows, reach)

    def slice_s(self, spent_s: float, *, owed: bool = False) -> float:
        return super().slice_s(spent_s, owed=owed) if self.paced else float("inf")

    def rows(self, numerics: Numerics, start: int, *, streams: bool) -> int:
        return super().rows(numerics, start, streams=streams) if self.paced else numerics.largest


@dataclass(slots=True)
class _Stream:
    """Hears an answer, on the engine's thread."""

    times: list[float] = field(default_factory=list)
    """``time.perf_counter`` of each token."""
    ended: Finished | BaseException | None = None

    def __call__(self, event: Event | BaseException) -> None:
        if isinstance(event, TextDelta):
            self.times += [time.perf_counter()] * event.tokens
        elif isinstance(event, Finished | BaseException):
            self.ended = event

    def reach(self, tokens: int) -> None:
        """Wait for so many tokens. Raises the error that ended the stream before that."""
        seen, since = len(self.times), time.perf_counter()
        while len(self.times) < tokens:
            if isinstance(self.ended, BaseException):
                raise self.ended
            if self.ended is not None:
                raise SetupError("the streams ended before the prompt did: take a shorter one")
            if len(self.times) > seen:
                seen, since = len(self.times), time.perf_counter()
            if time.perf_counter() - since > _PATIENCE_S:
                raise TimeoutError("a stream stands still")
            time.sleep(0.005)

    def gaps(self, start: float, end: float) -> list[float]:
        """Of tokens that came within this time."""
        return [b - a for a, b in pairwise(t for t in self.times if start <= t <= end)]


def bench_fair(
    model: str,
    plan: FairBenchPlan,
    *,
    cache_dir: Path,
    dtype: str = "bfloat16",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure times in seconds, gaps as the engine hands out tokens, without drafts, which would come several at once.

    Raises SetupError when the model is not to be had or the prompt is too short to be seen, ContextTooLong when it is
    too long for the model.

    Example: ``bench_fair("smollm2-135m", FairBenchPlan(), cache_dir=folder)``
    """
    told, pace = progress or (lambda *_: None), _Either()
    seeds = count()
    # What one stream may take, and the cold prompt, a hit and what is kept; each with a page to spare.
    room = plan.streams * (plan.stream_prompt + MOST_TOKENS + PAGE_TOKENS)
    room += 3 * (max(plan.prompt_tokens, plan.document + plan.tail) + PAGE_TOKENS)
    room = max(room, (PLACES + 1) * PAGE_TOKENS)
    with open_rig(
        model,
        tokens=room,
        cache_dir=cache_dir,
        dtype=dtype,
        max_running=PLACES,
        max_waiting=QUEUE,
        speculate=False,
        pace=pace,
    ) as rig:
        told(0, 5)
        rig.run(rig.prompt(600, next(seeds)), max_tokens=8, register=False)
        if plan.known:
            rig.run(_known(rig, plan), max_tokens=1)
        first = rig.run(_cold(rig, plan, seeds), max_tokens=1, register=False)
        if not plan.known <= first.cached_tokens < plan.known + PAGE_TOKENS:
            raise AssertionError(f"{first.cached_tokens} tokens were resident, not {plan.known}")
        alone = first.ttft_s
        told(1, 5)
        rows = []
        for done, (name, paced) in enumerate((("whole tiles", False), ("kvproxy", True)), start=2):
            pace.paced = paced
            rows.append({"prefill": name, **_streams(rig, plan, seeds, alone)})
            told(done, 5)
        hits = _hits(rig, plan, seeds)
        told(4, 5)
        crowd = measure_crowd(rig, plan.crowd, seeds)
        shape = rig.on_thread(engine_machine)
        told(5, 5)
    return {
        "machine": shape,
        "model": model,
        "dtype": dtype,
        "plan": asdict(plan),
        "prefill_alone_s": round(alone, 4),
        "streams": rows,
        "hits": hits,
        "crowd": crowd,
    }


def _known(rig: Rig, plan: FairBenchPlan) -> tuple[int, ...]:
    return rig.prompt(plan.known, -1)


def _cold(rig: Rig, plan: FairBenchPlan, seeds: Iterator[int]) -> tuple[int, ...]:
    return (*_known(rig, plan), *rig.prompt(plan.prompt_tokens - plan.known, next(seeds)))


def _streams(rig: Rig, plan: FairBenchPlan, seeds: Iterator[int], alone: float) -> dict[str, Any]:
    streams = [_Stream() for _ in range(plan.streams)]
    sequences = [_submit(rig, rig.prompt(plan.stream_prompt, next(seeds)), stream) for stream in streams]
    _reach(streams, 8)
    before = time.perf_counter()
    _reach(streams, plan.gaps)
    began = time.perf_counter()
    cold = rig.run(_cold(rig, plan, seeds), max_tokens=1, register=False).ttft_s
    ended = time.perf_counter()
    _reach(streams, plan.gaps)
    after = time.perf_counter()
    for sequence in sequences:
        rig.engine.cancel(sequence)
    quiet = _gaps(streams, before, began) + _gaps(streams, ended, after)
    during = _gaps(streams, began, ended)
    if not during:
        raise SetupError("the prompt was computed before the streams had their next token: take a longer one")
    p50 = statistics.median(quiet)
    return {
        "undisturbed": _quantiles(quiet),
        "during": _quantiles(during),
        "p99_ratio": round(_quantile(during, 0.99) / p50, 2),
        "max_ratio": round(max(during) / p50, 2),
        "prefill_s": round(cold, 4),
        "prefill_ratio": round(cold / alone, 2),
        "tokens_per_s": round(len(during) / (ended - began), 1),
        "undisturbed_tokens_per_s": round(plan.streams / statistics.mean(quiet), 1),
    }


def _reach(streams: Sequence[_Stream], more: int) -> None:
    for stream, tokens in [(s, len(s.times) + more) for s in streams]:
        stream.reach(tokens)


def _gaps(streams: Sequence[_Stream], start: float, end: float) -> list[float]:
    return [gap for stream in streams for gap in stream.gaps(start, end)]


def _submit(rig: Rig, tokens: tuple[int, ...], stream: _Stream) -> EngineSequence:
    """Return an answer that is cancelled when enough was seen."""
    return rig.engine.submit(
        Job(
            id=f"stream-{id(stream)}",
            token_ids=tokens,
            sampling=GREEDY,
            max_tokens=min(MOST_TOKENS, rig.engine.max_context - len(tokens)),
            scope=SCOPE,
            readable=(SCOPE,),
            seed=1,
            register=False,
        ),
        stream,
    )


def _hits(rig: Rig, plan: FairBenchPlan, seeds: Iterator[int]) -> dict[str, Any]:
    """Measure the TTFT of hits, alone and beside a cold prompt."""
    document = rig.prompt(plan.document, next(seeds))
    rig.run(document, max_tokens=1)

    def hit() -> float:
        return rig.run((*document, *rig.prompt(plan.tail, next(seeds))), max_tokens=1, register=False).ttft_s

    alone = [hit() for _ in range(plan.hits)]
    during: list[float] = []
    while len(during) < plan.hits:
        cold = rig.submit(_cold(rig, plan, seeds), max_tokens=1, register=False)
        during.append(hit())
        while len(during) < plan.hits and cold.sequence.generated == 0:
            during.append(hit())
            time.sleep(alone[0] / 2)
        cold.end()
    return {
        "alone_s": round(statistics.median(alone), 4),
        "during_s": round(statistics.median(during), 4),
        "during_max_s": round(max(during), 4),
        "ratio": round(statistics.median(during) / statistics.median(alone), 2),
        "hits": plan.hits,
    }


def _quantiles(gaps: Sequence[float]) -> dict[str, float]:
    return {
        "p50_s": round(statistics.median(gaps), 5),
        "p99_s": round(_quantile(gaps, 0.99), 5),
        "max_s": round(max(gaps), 5),
        "gaps": len(gaps),
    }


def _quantile(values: Sequence[float], q: float) -> float:
    """Return the smallest value that at least a share ``q`` does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(q * len(ordered) * 1000) // 1000) - 1)]
