"""`ScoresCpu`: attention by float32 scores, two matrix products with a base-2 softmax between them.

For CPUs with AVX512_BF16 and without AMX, where torch's flash attention runs at 85 to 90 GFLOP/s a core (measured on
Zen 5), oneDNN's float32 product at 245 and its bf16 product at 460. Scores are products of float32 queries with keys
widened from bf16, as accurate as flash's; their weights are rounded to bf16 before the product with V, as flash does.

Measured there, for 768 rows and 1,024 positions of three heads (one thread): scores 1.2 ms, their maximum 0.1,
subtracting it 0.2, exp2 0.3 (exp: 1.4, softmax: 1.0), their sum 0.1, rounding 0.2, the product with V 0.65. Rejected:
bf16 scores and, by a second product, the part that their rounding lost (1.9 ms); MKL's float32 product (2.8 ms).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from kvproxy.engine.forward.attention.call_shapes import Positions, parts_of, split
from kvproxy.engine.forward.whole_vectors import slack, whole

_SCORES = 2**20
"""Scores computed at a time: 4 MiB as float32, which stay in the cache from one operation to the next."""
_POSITIONS = 2**20
"""Elements of K copied at a time, where a call has several stretches."""
STRETCHES = 16
"""The most stretches that are computed at a time."""


@dataclass(frozen=True, slots=True)
class _Scores:
    """Views for blocks of one shape: float32 scores [heads, rows, length], and their weights in the pool's dtype."""

    scores: torch.Tensor
    """float32 [heads, rows, length]."""
    last: torch.Tensor
    """float32 [heads, rows, masked]: the scores of the last positions, to which a mask is added."""
    whole: torch.Tensor
    """float32, flat: the scores in whole vectors."""
    weights: torch.Tensor
    """[heads, rows, length] in the pool's dtype: 2 ** (score - row_max)."""


@dataclass(frozen=True, slots=True)
class _Positions:
    """Copies of a call's K and V, one memory for all calls.

    bmm wants its operands contiguous, and would copy V anew for each block of rows.
    """

    keys: tuple[torch.Tensor, ...]
    """float32 [kv_heads, positions / parts, D] each: the targets of the call's parts of K."""
    values: tuple[torch.Tensor, ...]
    """[kv_heads, positions / parts, D] each, in the pool's dtype: the targets of V."""
    turned: torch.Tensor
    """float32 [heads, D, length]: the keys; a span's head is a head of its own."""
    spread: torch.Tensor
    """[heads, length, D] in the pool's dtype: the values."""


class ScoresCpu:
    """A ``Kernel``, for one thread at a time."""

    def __init__(self, kv_heads: int, head_dim: int, dtype: torch.dtype, threads: int) -> None:
        """Send float32 products to oneDNN, and start without scratch memory; ``threads``: torch's.

        Example: ``ScoresCpu(kv_heads=3, head_dim=64, dtype=torch.bfloat16, threads=torch.get_num_threads())``
        """
        _float32_by_onednn()
        self._kv_heads, self._head_dim, self._dtype, self._threads = kv_heads, head_dim, dtype, threads
        self._memory: dict[str, torch.Tensor] = {}
        self._scores: dict[tuple[int, int, int, int], _Scores] = {}
        self._positions: dict[tuple[int, int, int], _Positions] = {}

    def __call__(
        self,
        q: torch.Tensor,
        k: Positions,
        v: Positions,
        mask: torch.Tensor | None,
        weighted_sum: torch.Tensor,
        row_max: torch.Tensor,
        exp_sum: torch.Tensor,
    ) -> None:
        """See :meth:`Kernel.__call__`."""
        spans, keys, values = len(weighted_sum), parts_of(k), parts_of(v)
        if spans == 1:
            self._one(
                q[0],
                keys,
                values,
                None if mask is None else mask[0, 0],
                weighted_sum[0],
                row_max[0],
                exp_sum[0],
            )
            return
        length = len(keys) * keys[0].shape[1] // spans
        most = min(STRETCHES, max(1, _POSITIONS // (self._kv_heads * length * self._head_dim)))
        for first in range(0, spans, most):
            part = slice(first, min(first + most, spans))
            some, theirs = (_stretches(x, part, spans, length) for x in (keys, values))
            own = part if len(q) > 1 else slice(0, 1)
            hidden = None if mask is None else mask[own]
            self._several(q[own], some, theirs, hidden, weighted_sum[part], row_max[part], exp_sum[part])

    def _one(
        self,
        q: torch.Tensor,
        k: tuple[torch.Tensor, ...],
        v: tuple[torch.Tensor, ...],
        mask: torch.Tensor | None,
        weighted_sum: torch.Tensor,
        row_max: torch.Tensor,
        exp_sum: torch.Tensor,
    ) -> None:
        """Compute one stretch, its rows in blocks.

        q, weighted_sum: [kv_heads, R, D]; mask: [R, B]; row_max, exp_sum: [kv_heads, R].
        """
        p = self._copy(k, v, 1)
        blocks = split(q.shape[1], self._most(p.turned.shape[2]))
        if len(blocks) == 1:
            self._block(q, p, mask, weighted_sum, row_max, exp_sum)
            return
        first = 0
        for width in blocks:
            rows = slice(first, first + width)
            hidden = None if mask is None else mask[rows]
            self._block(q[:, rows], p, hidden, weighted_sum[:, rows], row_max[:, rows], exp_sum[:, rows])
            first += width

    def _several(
        self,
        q: torch.Tensor,
        k: tuple[torch.Tensor, ...],
        v: tuple[torch.Tensor, ...],
        mask: torch.Tensor | None,
        weighted_sum: torch.Tensor,
        row_max: torch.Tensor,
        exp_sum: torch.Tensor,
    ) -> None:
        """Compute several stretches at once, for few rows. q: [1 or S, kv_heads, R, D]; the others as in a call."""
        spans, heads, rows, dim = weighted_sum.shape
        spread = q.expand(spans, heads, rows, dim).transpose(0, 1).reshape(heads * spans, rows, dim)
        if mask is not None:
            mask = mask.expand(spans, heads, rows, -1).transpose(0, 1).reshape(heads * spans, rows, -1)
        joined = weighted_sum.new_empty(heads * spans, rows, dim)
        maxima, sums = row_max.new_empty(2, heads * spans, rows)
        self._block(spread, self._copy(k, v, spans), mask, joined, maxima, sums)
        weighted_sum.copy_(joined.view(heads, spans, rows, dim).transpose(0, 1))
        row_max.copy_(maxima.view(heads, spans, rows).transpose(0, 1))
        exp_sum.copy_(sums.view(heads, spans, rows).transpose(0, 1))

    def _block(
        self,
        q: torch.Tensor,
        p: _Positions,
        mask: torch.Tensor | None,
        weighted_sum: torch.Tensor,
        row_max: torch.Tensor,
        exp_sum: torch.Tensor,
    ) -> None:
        """Compute rows that fit the scratch memory; every stretch's head is a head of its own."""
        shape = (q.shape[0], q.shape[1], p.turned.shape[2], 0 if mask is None else mask.shape[-1])
        s = self._scores.get(shape) or self._make_scores(*shape)
        torch.bmm(q, p.turned, out=s.scores)
        if mask is not None:
            s.last.add_(mask)
        torch.amax(s.scores, -1, out=row_max)
        s.scores.sub_(row_max.unsqueeze(-1))
        torch.exp2(s.whole, out=s.whole)
        torch.sum(s.scores, -1, out=exp_sum)
        if s.weights is not s.scores:
            s.weights.copy_(s.scores)
        torch.bmm(s.weights, p.spread, out=weighted_sum)

    def _copy(self, k: tuple[torch.Tensor, ...], v: tuple[torch.Tensor, ...], spans: int) -> _Positions:
        """Copy a call's K and V next to each other."""
        shape = (len(k) * k[0].shape[1], spans, len(k))
        p = self._positions.get(shape) or self._make_positions(*shape)
        torch._foreach_copy_(p.keys, k)
        torch._foreach_copy_(p.values, v)
        return p

    def _most(self, length: int) -> int:
        """Return the rows of a block: as many as keep its scores in the cache."""
        rows = _SCORES // (self._kv_heads * length)
        return rows // 64 * 64 if rows >= 128 else max(16, rows // 16 * 16)

    def _make_scores(self, heads: int, rows: int, length: int, masked: int) -> _Scores:
        numel = heads * rows * length
        scores = self._take("scores", numel, torch.float32).view(heads, rows, length)
        flat = self._memory["scores"][: whole(numel, self._threads)]
        weights = scores
        if self._dtype != torch.float32:
            weights = self._take("weights", numel, self._dtype).view(heads, rows, length)
        made = _Scores(scores, scores[..., length - masked :], flat, weights)
        self._scores[heads, rows, length, masked] = made
        return made

    def _make_positions(self, positions: int, spans: int, parts: int) -> _Positions:
        shape = (self._kv_heads, positions, self._head_dim)
        keys = self._take("keys", math.prod(shape), torch.float32).view(shape)
        values = self._take("values", math.prod(shape), self._dtype).view(shape)
        apart = (self._kv_heads * spans, positions // spans, self._head_dim)
        made = _Positions(
            keys.split(positions // parts, 1),
            values.split(positions // parts, 1),
            keys.view(apart).transpose(1, 2),
            values.view(apart),
        )
        self._positions[positions, spans, parts] = made
        return made

    @torch.inference_mode(False)
    def _take(self, name: str, numel: int, dtype: torch.dtype) -> torch.Tensor:
        """Return [numel] of the memory of that name. When it grows, the views of the smaller one are forgotten."""
        memory = self._memory.get(name)
        if memory is None or memory.numel() < numel + slack(self._threads):
            self._memory[name] = memory = torch.zeros(numel + slack(self._threads), dtype=dtype)
            self._scores.clear()
            self._positions.clear()
        return memory[:numel]


def _stretches(
    parts: tuple[torch.Tensor, ...], some: slice, spans: int, length: int
) -> tuple[torch.Tensor, ...]:
    """Return those of ``spans`` stretches of ``length`` positions that ``some`` selects."""
    if len(parts) == 1:
        return (parts[0][:, some.start * length : some.stop * length],)
    each = len(parts) // spans
    return parts[some.start * each : some.stop * each]


def _float32_by_onednn() -> None:
    """Send float32 matrix products to oneDNN, for the whole process and for good.

    The setting says that products may round their operands to bf16; without AMX, oneDNN has no such kernel and computes
    in float32 (checked here), at twice MKL's speed on AMD's CPUs. Switching it around each call was rejected: another
    thread's calls would take the one way or the other, and their bits with them.
    """
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]  # set through a module class
    a = torch.linspace(0.9, 1.1, 64 * 64).view(64, 64)
    expected = (a.double() @ a.double().T).float()
    if not torch.allclose(torch.bmm(a[None], a.T[None])[0], expected, rtol=1e-5, atol=0.0):
        raise AssertionError("oneDNN rounds float32 products on this CPU; the kernel must not be picked here")
