"""Compares a hit with a prefill from scratch."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch

from kvproxy.backends.base import Comparison
from kvproxy.engine.index import common_prefix
from kvproxy.engine.sequence import Sequence


def compare_logits(
    hit: Sequence, cold: Sequence, *, cached: int, hit_answer: Seq[int], cold_answer: Seq[int]
) -> Comparison:
    """``hit`` and ``cold`` scored the same positions; their logits are float32 [rows, vocab] chunks.

    Raises ValueError when they did not, which would make a comparison of less than was asked for look whole.
    """
    ours, reference = torch.cat(hit.logits), torch.cat(cold.logits)
    if ours.shape != reference.shape or not len(ours):
        raise ValueError(f"compared {tuple(ours.shape)} logits with {tuple(reference.shape)}")
    difference = float((ours - reference).abs().max())
    if difference == 0.0 and not torch.equal(ours, reference):
        difference = float("nan")
    return Comparison(
        cached_tokens=cached,
        positions=len(ours),
        equal_argmax=int((ours.argmax(-1) == reference.argmax(-1)).sum()),
        largest_difference=difference,
        greedy_tokens=max(len(hit_answer), len(cold_answer)),
        equal_greedy=common_prefix(list(hit_answer), list(cold_answer)),
    )
