"""`PageCosts`: estimated seconds to recompute or reload one page of KV; a model at first, then measured."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from kvproxy.core import PAGE_TOKENS

ASSUMED_FLOPS = 2e11
"""Floating point operations per second until a prefill was timed: two server cores in bf16."""
ASSUMED_BYTES = 1e9
"""Bytes read back per second until a read was timed: a local SSD, checksum included."""
ASSUMED_FAR_BYTES = 1e8
"""The same of an object store."""
_ASSUMED_SPEEDS = {False: ASSUMED_BYTES, True: ASSUMED_FAR_BYTES}

FORGOTTEN_S = 60.0
"""Seconds after which times that were worse than assumed are taken for a bad moment."""
TRUSTED = 4
"""Reads of a tier until it may count as slower than assumed."""
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
        """Count the operations of a decoder with gated MLP: q and o, k and v, then gate, up and down.

        Attention is two products of [PAGE_TOKENS, head_dim] and [head_dim, PAGE_TOKENS] for each head and earlier page.

        Example: ``PageWork.of(layers=28, hidden=1024, heads=16, kv_heads=8, head_dim=128, intermediate=3072)``
        """
        weights = hidden * head_dim * 2 * (heads + kv_heads) + 3 * hidden * intermediate
        return cls(
            linear=2.0 * PAGE_TOKENS * layers * weights,
            attention=4.0 * PAGE_TOKENS * PAGE_TOKENS * layers * heads * head_dim,
        )

    def page(self, index: int, tokens: int) -> float:
        """Return the operations of the first ``tokens`` positions of page ``index``.

        On average half of its own page lies before a position.
        """
        return tokens / PAGE_TOKENS * (self.linear + self.attention * (index + 0.5))

    def span(self, first: int, end: int) -> float:
        """Return the operations of the positions ``first`` to ``end - 1``."""
        attended = (end * end - first * first) / 2 / PAGE_TOKENS  # pages before each position, summed
        return ((end - first) * self.linear + attended * self.attention) / PAGE_TOKENS


class PageCosts:
    """Seconds per page. The speed is the fastest of the last few timed: other work on the machine only slows one down.

    Engine thread only.
    """

    def __init__(self, work: PageWork, page_bytes: int, *, spills: bool = False) -> None:
        """Start with assumed speeds.

        ``page_bytes``: bytes of one page; ``spills``: whether pages go to disk before they are dropped.

        Example: ``PageCosts(UNIFORM, page_bytes=shape.bytes, spills=True)``
        """
        self._work, self._spills = work, spills
        self._flops: deque[float] = deque([ASSUMED_FLOPS], _REMEMBERED)
        self._loads = {far: _Fastest(page_bytes / speed) for far, speed in _ASSUMED_SPEEDS.items()}
        self._fastest = self._flops[0]
        self._timed_compute = False

    @property
    def load_s(self) -> float:
        """Seconds to read one page back from the local disk, its checksums included."""
        return self._loads[False].seconds

    def load_s_of(self, *, far: bool) -> float:
        """Return the seconds to read one page back. ``far``: from an object store.

        Example: ``costs.load_s_of(far=True)``
        """
        return self._loads[far].seconds

    def compute_s(self, index: int, tokens: int = PAGE_TOKENS) -> float:
        """Return the seconds to prefill the first ``tokens`` positions of page ``index``."""
        return self._work.page(index, tokens) / self._fastest

    def again_s(self, index: int, tokens: int, *, on_disk: bool) -> float:
        """Return the seconds of the cheaper way to have a page again, once it is out of memory.

        Example: ``costs.again_s(index=3, tokens=256, on_disk=node.stored)``
        """
        compute = self.compute_s(index, tokens)
        return min(compute, self.load_s) if on_disk or self._spills else compute

    def worth_spilling(self, index: int, tokens: int) -> bool:
        """Return whether reading the page back is cheaper than computing it again."""
        return self.load_s < self.compute_s(index, tokens)

    def computed(self, first: int, end: int, seconds: float) -> None:
        """Record that a prefill of the positions ``first`` to ``end - 1`` took ``seconds``.

        Example: ``costs.computed(0, 512, seconds=0.8)``
        """
        if end - first < LEAST_TIMED or seconds <= 0:
            return
        if not self._timed_compute:
            self._timed_compute = True
            self._flops.clear()
        self._flops.append(self._work.span(first, end) / seconds)
        self._fastest = max(self._flops)

    def loaded(self, seconds: float, *, far: bool = False) -> None:
        """Record that reading one page took ``seconds``. ``far``: from an object store.

        Example: ``costs.loaded(read.seconds, far=read.far)``
        """
        self._loads[far].add(seconds)


class _Fastest:
    """The least of the last few times; an assumed one until TRUSTED times were worse: the first reads of a process are
    slow for other reasons, and pages that are left on disk are not timed.

    Times of over FORGOTTEN_S ago count no more where they were worse than assumed: pages that were left on disk for
    being slow once would never be timed again.
    """

    def __init__(self, assumed: float) -> None:
        self._assumed = self._least = assumed
        self._timed: deque[float] = deque(maxlen=_REMEMBERED)
        self._last = 0.0

    @property
    def seconds(self) -> float:
        """The least time."""
        doubtful = len(self._timed) < TRUSTED or time.monotonic() - self._last > FORGOTTEN_S
        return min(self._assumed, self._least) if doubtful else self._least

    def add(self, seconds: float) -> None:
        """Record a time."""
        self._timed.append(seconds)
        self._least, self._last = min(self._timed), time.monotonic()


UNIFORM = PageWork(linear=1e9, attention=0.0)
"""All pages cost alike: for caches without a model behind them."""
