"""Compares what a hit took with what a prefill from scratch computes: pages and logits, bit by bit.

Two results are the same when their bits are: 0.0 and -0.0 differ, and a NaN equals itself. Differences are then
told in the numbers' own terms. All of it runs on the kernel thread, in pieces between which others' tiles go on.
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
"""Positions whose logits are compared in one call: at 150,000 tokens of vocabulary about a tile's work."""

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, slots=True)
class Rows:
    """A comparison of logits, position by position, over the whole vocabulary each."""

    positions: int
    equal: int
    """At how many of them every logit has the same bits."""
    equal_argmax: int
    largest: float
    """Largest difference of any logit; NaN when there is one that is no number."""


@dataclass(frozen=True, slots=True)
class PageDifference:
    """A kept page that holds other bits than a prefill from scratch gives."""

    node: Node
    position: int
    """The first position of the prompt that differs."""
    largest: float
    """Of any component of any key or value; NaN when there is one that is no number."""


def compare_rows(hit: torch.Tensor, cold: torch.Tensor, head: Callable[[torch.Tensor], torch.Tensor]) -> Rows:
    """hit, cold: [rows, hidden] states after the last norm, at the same positions. head: -> float32 [rows, vocab].

    Raises ValueError for other shapes, which would make a comparison of less than was asked for look whole.
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
    """Of consecutive pieces."""
    return Rows(
        positions=sum(p.positions for p in parts),
        equal=sum(p.equal for p in parts),
        equal_argmax=sum(p.equal_argmax for p in parts),
        largest=largest_of(p.largest for p in parts),
    )


def largest_of(differences: Iterable[float]) -> float:
    """The largest; what is no number is larger than any."""
    found = list(differences)
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)


@dataclass(slots=True)
class PageWatch:
    """As ``Job.inspect`` of a prefill from scratch: compares each kept page with the sequence's own as soon as
    that is computed.

    ``nodes`` must be pinned until the job has ended; those that are not in memory are left out, since what is on
    disk has a checksum and is compared when somebody has loaded it. ``tokens``: positions that a hit takes.
    """

    cache: KVCache
    nodes: tuple[Node, ...]
    tokens: int
    pages: int = 0
    """Compared so far."""
    equal: int = 0
    different: list[PageDifference] = field(default_factory=list)
    error: Exception | None = None
    _next: int = 0

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
        kept = self.cache.pool.view(node.page)[..., :used, :]
        fresh = self.cache.pool.view(page)[..., :used, :]
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
