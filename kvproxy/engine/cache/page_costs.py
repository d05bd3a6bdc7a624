"""What it takes to have one page of KV again: computing it, or reading it back. Modelled, then measured."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from kvproxy.core import PAGE_TOKENS

ASSUMED_FLOPS = 2e11
"""Per second, until a prefill was timed: two server cores in bf16."""
ASSUMED_BYTES = 1e9
"""Read back per second, until a read was timed: a local SSD, checksum included."""

LEAST_TIMED = 64
"""Prefills of fewer positions say more about overheads than about positions."""
_REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class PageWork:
    """Floating point operations of one page's prefill: ``linear``, and ``attention`` for each page before it.

    A multiply-add counts as two. Softmax, norms and the head are left out: they are small, or not per page.
    """

    linear: float
    attention: float

    @classmethod
    def of(
        cls, *, layers: int, hidden: int, heads: int, kv_heads: int, head_dim: int, intermediate: int
    ) -> PageWork:
        """Of a decoder with gated MLP: q and o, k and v, then gate, up and down; attention is two products of
        [PAGE_TOKENS, head_dim] and [head_dim, PAGE_TOKENS] for each head and earlier page."""
        weights = hidden * head_dim * 2 * (heads + kv_heads) + 3 * hidden * intermediate
        return cls(
            linear=2.0 * PAGE_TOKENS * layers * weights,
            attention=4.0 * PAGE_TOKENS * PAGE_TOKENS * layers * heads * head_dim,
        )

    def page(self, index: int, tokens: int) -> float:
        """Of the first ``tokens`` positions of page ``index``; half of its own page lies before a position."""
        return tokens / PAGE_TOKENS * (self.linear + self.attention * (index + 0.5))

    def span(self, first: int, end: int) -> float:
        """Of the positions ``first`` to ``end - 1``."""
        attended = (end * end - first * first) / 2 / PAGE_TOKENS  # pages before each position, summed
        return ((end - first) * self.linear + attended * self.attention) / PAGE_TOKENS


class PageCosts:
    """Seconds per page. The speed is the fastest of the last few timed: whatever else ran only slows one down.

    Engine thread only.
    """

    def __init__(self, work: PageWork, page_bytes: int, *, spills: bool = False) -> None:
        """``spills``: pages go to disk before they are dropped."""
        self._work, self._spills = work, spills
        self._flops: deque[float] = deque([ASSUMED_FLOPS], _REMEMBERED)
        self._loads: deque[float] = deque([page_bytes / ASSUMED_BYTES], _REMEMBERED)
        self._fastest, self._load = self._flops[0], self._loads[0]
        self._timed_compute = self._timed_load = False

    @property
    def load_s(self) -> float:
        """Reading one page back, its checksum included."""
        return self._load

    def compute_s(self, index: int, tokens: int = PAGE_TOKENS) -> float:
        """Prefill of the first ``tokens`` positions of page ``index``."""
        return self._work.page(index, tokens) / self._fastest

    def again_s(self, index: int, tokens: int, *, on_disk: bool) -> float:
        """The cheaper way to have a page again, once it is out of memory."""
        compute = self.compute_s(index, tokens)
        return min(compute, self._load) if on_disk or self._spills else compute

    def worth_spilling(self, index: int, tokens: int) -> bool:
        """Whether reading the page back is cheaper than computing it again."""
        return self.load_s < self.compute_s(index, tokens)

    def computed(self, first: int, end: int, seconds: float) -> None:
        """A prefill of the positions ``first`` to ``end - 1`` was timed."""
        if end - first < LEAST_TIMED or seconds <= 0:
            return
        if not self._timed_compute:
            self._timed_compute = True
            self._flops.clear()
        self._flops.append(self._work.span(first, end) / seconds)
        self._fastest = max(self._flops)

    def loaded(self, seconds: float) -> None:
        """Reading one page was timed."""
        if not self._timed_load:
            self._timed_load = True
            self._loads.clear()
        self._loads.append(seconds)
        self._load = min(self._loads)


UNIFORM = PageWork(linear=1e9, attention=0.0)
"""Every page alike: for caches without a model behind them."""
