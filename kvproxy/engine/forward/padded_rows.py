"""Functions of rows, run in chunks of one size: the kernels then have one shape, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable

import torch


def in_chunks(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, rows: int) -> torch.Tensor:
    """Apply ``function``, [rows, width] -> [rows, out], to x, [R, width], the last chunk padded with zeros.

    Example: ``logits = in_chunks(head, hidden, 16)``
    """
    results = []
    for chunk in x.split(rows):
        whole = chunk
        if len(chunk) < rows:
            whole = chunk.new_zeros(rows, x.shape[1])
            whole[: len(chunk)] = chunk
        results.append(function(whole)[: len(chunk)])
    return results[0] if len(results) == 1 else torch.cat(results)
