"""Elementwise functions with bits that do not depend on an element's place.

torch computes most elements with vector instructions and the rest of each thread's share with scalar ones. For float32
``exp2`` and ``silu`` the two give other bits, so that an element's result would depend on its place. The cure: only
ever compute shares that are whole vectors, by computing a few elements more.
"""

from __future__ import annotations

import torch

_GRAIN = 32768
"""at::internal::GRAIN_SIZE: torch gives every thread at least this many elements."""
UNIT = 64
"""A multiple of the elements in one step of torch's vectorized loops: two AVX-512 registers of float32 or bf16."""


def whole(numel: int, threads: int) -> int:
    """Return the smallest number of elements, at least ``numel``, that torch shares out in whole vectors."""
    while True:
        shares = max(1, min(threads, -(-numel // _GRAIN)))
        padded = -(-numel // (UNIT * shares)) * UNIT * shares
        if max(1, min(threads, -(-padded // _GRAIN))) == shares:
            return padded
        numel = padded


def slack(threads: int) -> int:
    """Return the elements that a buffer needs behind its last one, so that ``whole`` never reaches past its end."""
    return 2 * UNIT * threads


def silu_(flat: torch.Tensor, numel: int, threads: int) -> None:
    """Apply SiLU in place to the first ``numel`` elements of a contiguous 1-D buffer with ``slack`` behind them.

    Example: ``silu_(flat, rows * intermediate, torch.get_num_threads())``
    """
    part = flat[: whole(numel, threads)]
    torch.ops.aten.silu.out(part, out=part)
