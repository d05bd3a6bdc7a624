"""Attention by float32 scores: two matrix products, and a base-2 softmax between them.

For CPUs with AVX512_BF16 and without AMX, where torch's flash attention runs at 85 to 90 GFLOP/s a core (measured on
Zen 5), oneDNN's float32 product at 245 and its bf16 product at 460. Scores are products of float32 queries with keys
widened from bf16, as accurate as flash's; their weights are rounded to bf16 before the product with V, as flash does.

What was measured there, for 768 rows and 1,024 positions of three heads (one thread): scores 1.2 ms, their maximum
0.1, subtracting it 0.2, exp2 0.3 (exp: 1.4, softmax: 1.0), their sum 0.1, rounding 0.2, the product with V 0.65.
Rejected: bf16 scores and, by a second product, what their rounding lost (1.9 ms); MKL's float32 product (2.8 ms).
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
"""The most that are computed at a time."""


@dataclass(frozen=True, slots=True)
class _Scores:
    """Views for blocks of one shape: float32 scores [heads, rows, length], and their weights in the pool's dtype."""

    scores: torch.Tensor
    last: torch.Tensor
    """The scores of the last positions, which a mask is for."""
    whole: torch.Tensor
    """The scores, flat and in whole vectors."""
    weights: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Positions:
    """Copies of a call's K and V, one memory for all calls: bmm wants its operands contiguous, and would copy V anew
    for each block of rows."""

    keys: tuple[torch.Tensor, ...]
    """float32 [kv_heads, positions / parts, D]: where a part of the call's K goes."""
    values: tuple[torch.Tensor, ...]
    """The same of V, in the pool's dtype."""
    turned: torch.Tensor
    """The keys, as [heads, D, length]: a span's head is a head of its own."""
    spread: torch.Tensor
    """The values, as [heads, length, D]."""


class ScoresCpu:
    """A ``Kernel``, for one thread at a time."""

    def __init__(self, kv_heads: int, head_dim: int, dtype: torch.dtype, threads: int) -> None:
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
        out: torch.Tensor,
        top: torch.Tensor,
        total: torch.Tensor,
    ) -> None:
        spans, keys, values = len(out), parts_of(k), parts_of(v)
        if spans == 1:
            self._one(q[0], keys, values, None if mask is None else mask[0, 0], out[0], top[0], total[0])
            return
        length = len(keys) * keys[0].shape[1] // spans
        most = min(STRETCHES, max(1, _POSITIONS // (self._kv_heads * length * self._head_dim)))
        for first in range(0, spans, most):
            part = slice(first, min(first + most, spans))
            some, theirs = (_stretches(x, part, spans, length) for x in (keys, values))
            own = part if len(q) > 1 else slice(0, 1)
            hidden = None if mask is None else mask[own]
            self._several(q[own], some, theirs, hidden, out[part], top[part], total[part])

    def _one(
        self,
        q: torch.Tensor,
        k: tuple[torch.Tensor, ...],
        v: tuple[torch.Tensor, ...],
        mask: torch.Tensor | None,
        out: torch.Tensor,
        top: torch.Tensor,
        total: torch.Tensor,
    ) -> None:
        """One stretch, its rows in blocks. q, out: [kv_heads, R, D]; mask: [R, B]; top, total: [kv_heads, R]."""
        p = self._copy(k, v, 1)
        blocks = split(q.shape[1], self._most(p.turned.shape[2]))
        if len(blocks) == 1:
            self._block(q, p, mask, out, top, total)
            return
        first = 0
        for width in blocks:
            rows = slice(first, first + width)
            hidden = None if mask is None else mask[rows]
            self._block(q[:, rows], p, hidden, out[:, rows], top[:, rows], total[:, rows])
            first += width

    def _several(
        self,
        q: torch.Tensor,
        k: tuple[torch.Tensor, ...],
        v: tuple[torch.Tensor, ...],
        mask: torch.Tensor | None,
        out: torch.Tensor,
        top: torch.Tensor,
        total: torch.Tensor,
    ) -> None:
        """Stretches at once, for few rows. q: [1 or S, kv_heads, R, D]; the others as in a call."""
        spans, heads, rows, dim = out.shape
        spread = q.expand(spans, heads, rows, dim).transpose(0, 1).reshape(heads * spans, rows, dim)
        if mask is not None:
            mask = mask.expand(spans, heads, rows, -1).transpose(0, 1).reshape(heads * spans, rows, -1)
        found = out.new_empty(heads * spans, rows, dim)
        tops, totals = top.new_empty(2, heads * spans, rows)
        self._block(spread, self._copy(k, v, spans), mask, found, tops, totals)
        out.copy_(found.view(heads, spans, rows, dim).transpose(0, 1))
        top.copy_(tops.view(heads, spans, rows).transpose(0, 1))
        total.copy_(totals.view(heads, spans, rows).transpose(0, 1))

    def _block(
        self,
        q: torch.Tensor,
        p: _Positions,
        mask: torch.Tensor | None,
        out: torch.Tensor,
        top: torch.Tensor,
        total: torch.Tensor,
    ) -> None:
        """Rows whose scores fit the scratch memory; every stretch's head is a head of its own."""
        shape = (q.shape[0], q.shape[1], p.turned.shape[2], 0 if mask is None else mask.shape[-1])
        s = self._scores.get(shape) or self._make_scores(*shape)
        torch.bmm(q, p.turned, out=s.scores)
        if mask is not None:
            s.last.add_(mask)
        torch.amax(s.scores, -1, out=top)
        s.scores.sub_(top.unsqueeze(-1))
        torch.exp2(s.whole, out=s.whole)
        torch.sum(s.scores, -1, out=total)
        if s.weights is not s.scores:
            s.weights.copy_(s.scores)
        torch.bmm(s.weights, p.spread, out=out)

    def _copy(self, k: tuple[torch.Tensor, ...], v: tuple[torch.Tensor, ...], spans: int) -> _Positions:
        shape = (len(k) * k[0].shape[1], spans, len(k))
        p = self._positions.get(shape) or self._make_positions(*shape)
        torch._foreach_copy_(p.keys, k)
        torch._foreach_copy_(p.values, v)
        return p

    def _most(self, length: int) -> int:
        """Rows of a block: as many as keep its scores in the cache."""
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
        """[numel] of the memory of that name. When it grows, the views of the smaller one are forgotten."""
        memory = self._memory.get(name)
        if memory is None or memory.numel() < numel + slack(self._threads):
            self._memory[name] = memory = torch.zeros(numel + slack(self._threads), dtype=dtype)
            self._scores.clear()
            self._positions.clear()
        return memory[:numel]


def _stretches(
    parts: tuple[torch.Tensor, ...], some: slice, spans: int, length: int
) -> tuple[torch.Tensor, ...]:
    """Of ``spans`` stretches of ``length`` positions those of ``some``."""
    if len(parts) == 1:
        return (parts[0][:, some.start * length : some.stop * length],)
    each = len(parts) // spans
    return parts[some.start * each : some.stop * each]


def _float32_by_onednn() -> None:
    """Send float32 matrix products to oneDNN, for the whole process and for good.

    The setting says that products may round their operands to bf16; without AMX, oneDNN has no such kernel and
    computes in float32 (checked here), at twice MKL's speed on AMD's CPUs. Switching it around each call was rejected:
    another thread's calls would take the one way or the other, and their bits with them.
    """
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]  # set through a module class
    a = torch.linspace(0.9, 1.1, 64 * 64).view(64, 64)
    expected = (a.double() @ a.double().T).float()
    if not torch.allclose(torch.bmm(a[None], a.T[None])[0], expected, rtol=1e-5, atol=0.0):
        raise AssertionError("oneDNN rounds float32 products on this CPU; the kernel must not be picked here")
