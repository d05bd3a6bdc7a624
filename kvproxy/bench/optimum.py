"""Upper bound of every eviction policy: a linear program's, by its dual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvproxy.bench.trace import TraceStep
from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_costs import PageWork

Floats = npt.NDArray[np.float64]
_ROUNDS = 4000


@dataclass(frozen=True, slots=True)
class _Items:
    """Pages that one request leaves and another takes again; one entry for pages of one value.

    ``first`` and ``end``: the requests in between are ``range(first, end)``; while they are served the pages must
    be kept. ``pages``, and ``value``, the work that each saves.
    """

    first: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    pages: Floats
    value: Floats


def most_saved(steps: Sequence[TraceStep], pages: int, work: PageWork) -> float:
    """Bound the prefill work that any policy with ``pages`` pages can save, even one that knows the future.

    Offline: maximise the value of the pages kept between their uses, where at each request the kept pages must fit
    beside that request's own. This is caching with costs and equal sizes as an interval packing; its linear
    program (Bansal et al., "Generalized caching and the offline problem", and Albers et al., SODA 1999) may also
    keep fractions of pages and pages without those before them, at the mean value of their chain: both only raise
    it. Any prices >= 0 per request give an upper bound by weak duality, so the bound holds wherever the descent
    stops. A request that is larger than the memory is refused, and pushes nothing out.

    Example: ``most_saved(make_trace(plan), 512, QWEN3_4B)``
    """
    items = _items(steps, work)
    if not len(items.value):
        return 0.0
    own = np.array([-(-len(s.visit.token_ids) // PAGE_TOKENS) for s in steps], dtype=np.float64)
    room = np.where(own <= pages, pages - own, pages)
    scale = float(items.value.max())
    value = items.value / scale
    best = float(np.dot(items.pages, value))
    for start in (0.0, 0.001, 0.003, 0.01, 0.03):
        best = min(best, _descend(items, value, room, np.full(len(room), start)))
    return best * scale


def _descend(items: _Items, value: Floats, room: Floats, prices: Floats) -> float:
    """Projected subgradient descent on the dual, each price with a step of its own (AdaGrad)."""
    best = np.inf
    seen = np.full(len(room), 1e-12)
    for _ in range(_ROUNDS // 5):
        sums = np.concatenate(([0.0], np.cumsum(prices)))
        gain = value - (sums[items.end] - sums[items.first])
        kept = np.where(gain > 0, items.pages, 0.0)
        best = min(best, float(np.dot(prices, room) + np.dot(kept, gain)))
        edges = np.bincount(items.first, kept, len(room) + 1) - np.bincount(items.end, kept, len(room) + 1)
        slope = room - np.cumsum(edges)[:-1]
        seen += slope * slope
        prices = np.maximum(prices - 0.02 * slope / np.sqrt(seen), 0.0)
    return best


def _items(steps: Sequence[TraceStep], work: PageWork) -> _Items:
    rows: list[tuple[int, int, float, float]] = []
    for number, step in enumerate(steps):
        whole, rest = divmod(min(step.reuse, len(step.visit.token_ids) - 1), PAGE_TOKENS)
        if step.before < 0:
            continue
        if whole:
            rows.append((step.before + 1, number, whole, work.span(0, whole * PAGE_TOKENS) / whole))
        if rest:
            rows.append(
                (step.before + 1, number, 1, work.span(whole * PAGE_TOKENS, whole * PAGE_TOKENS + rest))
            )
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return _Items(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=np.float64),
        np.array(columns[3], dtype=np.float64),
    )
