"""Bitwise comparison of a hit with a prefill from scratch: pages and logits.

Two results are the same when their bits are: 0.0 and -0.0 differ, and a NaN equals itself. Differences are then
reported as numbers. All of it runs on the kernel thread, in pieces between which tiles of requests run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.loop.sequence import Sequence

ROWS = 64
"""Rows of logits compared in one call: at 150,000 tokens of vocabulary about a tile's work."""

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, slots=True)
class Rows:
    """The result of comparing logits position by position, each over the whole vocabulary."""

    positions: int
    equal: int
    """Positions at which every logit has the same bits."""
    equal_argmax: int
    largest: float
    """Largest difference of any logit; NaN if one of them is."""


@dataclass(frozen=True, slots=True)
class PageDifference:
    """A kept page with other bits than a prefill from scratch computes."""

    node: Node
    position: int
    """The first position of the prompt that differs."""
    largest: float
    """Largest difference of any component of any key or value; NaN if one of them is."""


def compare_rows(hit: torch.Tensor, cold: torch.Tensor, head: Callable[[torch.Tensor], torch.Tensor]) -> Rows:
    """Compare the logits of two runs at the same positions.

    hit, cold: [rows, hidden] states after the last norm. head: maps them to logits, float32 [rows, vocab]. Raises
    ValueError for different shapes: a comparison of fewer rows would look complete.
    Example: ``compare_rows(hit.scored, cold.scored, model.logits)``
    """
    if hit.shape != cold.shape or not len(hit):
        raise ValueError(f"compared {tuple(hit.shape)} states with {tuple(cold.shape)}")
    ours, reference = head(hit), head(cold)
    same = (_bits(ours) == _bits(reference)).all(dim=-1)
    equal = int(same.sum())
    return Rows(
        positions=len(hit),
        equal=equal,
        equal_argmax=int((ours.argmax(-1) == reference.argmax(-1)).sum()),
        largest=0.0 if equal == len(hit) else _largest(ours[~same], reference[~same]),
    )


def total(parts: Seq[Rows]) -> Rows:
    """Return the result over consecutive pieces."""
    return Rows(
        positions=sum(p.positions for p in parts),
        equal=sum(p.equal for p in parts),
        equal_argmax=sum(p.equal_argmax for p in parts),
        largest=largest_of(p.largest for p in parts),
    )


def largest_of(differences: Iterable[float]) -> float:
    """Return the largest difference; NaN counts as larger than any number."""
    found = list(differences)
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)


@dataclass(slots=True)
class PageWatch:
    """Compares each kept page with the one that a prefill from scratch computes, as its ``Job.inspect``.

    ``nodes`` must be retained until the job has ended; those that are not in memory are left out, since a page on disk
    has a checksum and is compared once a request has loaded it. ``tokens``: positions that a hit takes. ``first``: the
    index of the first node to compare, for a job that computes nothing before it.
    """

    cache: KVCache
    nodes: tuple[Node, ...]
    tokens: int
    first: int = 0
    pages: int = 0
    """Number of pages compared so far."""
    equal: int = 0
    different: list[PageDifference] = field(default_factory=list)
    error: Exception | None = None
    _next: int = field(init=False)

    def __post_init__(self) -> None:
        self._next = self.first

    def __call__(self, seq: Sequence) -> None:
        try:
            while self._next < len(self.nodes) and self._end(self._next) <= seq.computed:
                self._compare(self._next, seq.pages[self._next])
                self._next += 1
        except Exception as e:
            self.error = e
            self._next = len(self.nodes)

    def _end(self, index: int) -> int:
        return min(self.tokens, (index + 1) * PAGE_TOKENS)

    @torch.inference_mode()
    def _compare(self, index: int, page: int) -> None:
        node = self.nodes[index]
        if node.page is None:
            return
        used = self._end(index) - index * PAGE_TOKENS
        kept, fresh = (self.cache.pool.rows(p, used) for p in (node.page, page))
        self.pages += 1
        if torch.equal(_bits(kept), _bits(fresh)):
            self.equal += 1
            return
        other = (_bits(kept) != _bits(fresh)).any(dim=-1).reshape(-1, used).any(dim=0)
        first = index * PAGE_TOKENS + int(other.int().argmax())
        self.different.append(PageDifference(node, first, _largest(kept, fresh)))


def _bits(x: torch.Tensor) -> torch.Tensor:
    return x.view(_BITS[x.dtype.itemsize])


def _largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b.float()).abs().max())
