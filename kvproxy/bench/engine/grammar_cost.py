"""Cost of following a grammar, token by token; for ``kvproxy bench grammar``."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from kvproxy.engine.decode.llguidance_grammar import LlguidanceGrammar


def answer_cost(
    compiled: LlguidanceGrammar, token_ids: Sequence[int], width: int
) -> list[tuple[float, float]]:
    """Seconds of mask and accept for each token. Raises AssertionError when one of them cannot follow.

    Example: ``answer_cost(compiled, token_ids, width=151_936)``
    """
    state, took = compiled.start(), []
    for token_id in token_ids:
        logits = torch.zeros(width)
        began = time.perf_counter()
        state.mask(logits)
        masked = time.perf_counter()
        state.accept(token_id)
        took.append((masked - began, time.perf_counter() - masked))
        if logits[token_id] != 0:
            raise AssertionError(f"token {token_id} was masked out")
    return took
