"""Choosing the next token. With a seed, a function of (logits, parameters, seed, position) alone."""

from __future__ import annotations

import hashlib
import os

import torch

from kvproxy.core import Sampling


def fresh_seed() -> int:
    """For requests that name none."""
    return int.from_bytes(os.urandom(8), "little", signed=True)


def sample(logits: torch.Tensor, rows: list[tuple[Sampling, int, int]]) -> list[int]:
    """One token per row. logits: float32 [R, vocab]; rows: (parameters, seed, index of the token in the
    answer)."""
    greedy = logits.argmax(dim=-1).tolist()
    return [
        greedy[i] if p.temperature == 0 else _draw(logits[i], p, seed, step)
        for i, (p, seed, step) in enumerate(rows)
    ]


def _draw(logits: torch.Tensor, p: Sampling, seed: int, step: int) -> int:
    """Temperature, then top_k, then top_p, in transformers' order; then one uniform number decides.

    Sorted by (-logit, token id), so that equal logits cannot be ordered by chance. float64 throughout: one row
    is small, and the cumulative sum's last place must not decide.
    """
    scaled, order = torch.sort(logits.double() / p.temperature, descending=True, stable=True)
    if 0 < p.top_k < scaled.shape[0]:
        scaled, order = scaled[: p.top_k], order[: p.top_k]
    probabilities = torch.softmax(scaled, dim=0)
    cumulative = probabilities.cumsum(0)
    if p.top_p < 1.0:
        # Keep the smallest set whose mass reaches top_p: all tokens before which less than top_p has gathered.
        keep = int((cumulative - probabilities < p.top_p).sum())
        cumulative = cumulative[:keep]
    at = uniform(seed, step) * float(cumulative[-1])
    choice = min(int(torch.searchsorted(cumulative, at, right=True)), cumulative.shape[0] - 1)
    return int(order[choice])


def uniform(seed: int, step: int) -> float:
    """A number in [0, 1) from sha256(seed, step): no generator whose state batch mates could advance."""
    digest = hashlib.sha256(b"%d:%d" % (seed, step)).digest()
    return int.from_bytes(digest[:8], "little") / 2**64
