"""The sampler: chooses the next token of an answer.

With a seed, the choice is a function of (logits, parameters, seed, position) alone; the parameters include the
answer's tokens so far.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Collection
from dataclasses import dataclass

import torch

from kvproxy.core import Sampling
from kvproxy.engine.decode.constraint import TokenConstraint
from kvproxy.engine.decode.logprobs import largest
from kvproxy.engine.decode.penalties import Penalties
from kvproxy.errors import KVProxyError

logger = logging.getLogger(__name__)

LEAST_TEMPERATURE = 1e-9
"""Lowest temperature that is divided by. Below it the next lower float32 logit has no probability left, and the
quotient could overflow: every probability would be NaN, and the token none of the vocabulary."""


def fresh_seed() -> int:
    """Return a random seed, for requests without one."""
    return int.from_bytes(os.urandom(8), "little", signed=True)


@dataclass(frozen=True, slots=True)
class SampledRow:
    """Parameters and state that one row's token is chosen with. ``step``: index of the token in the answer."""

    sampling: Sampling
    seed: int
    step: int
    penalties: Penalties | None = None
    constraint: TokenConstraint | None = None
    forbidden: Collection[int] = ()
    """Token ids that may not be chosen unless no other can be: they would end an answer that must go on."""

    @property
    def adjusted(self) -> bool:
        """Whether logits are changed before the temperature and the cuts behind it apply."""
        return self.penalties is not None or self.constraint is not None or bool(self.forbidden)

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is chosen."""
        return self.sampling.temperature == 0 and not self.adjusted


def greedy(logits: torch.Tensor) -> list[int]:
    """Return the likeliest token of each row, of equal ones the first. logits: float32 [R, vocab]."""
    ids: list[int] = logits.argmax(dim=-1).tolist()
    return ids


def choose(logits: torch.Tensor, likeliest: int, row: SampledRow) -> int | KVProxyError:
    """Choose the row's token; returns the error of a constraint that allows none. Changes nothing.

    logits: float32 [vocab]; ``likeliest``: their result of :func:`greedy`.
    Example: ``choose(logits, best, SampledRow(Sampling(temperature=0.7), seed=1, step=0))``
    """
    if row.plain:
        return likeliest
    if row.adjusted:
        logits = logits.clone()
        try:
            _adjust(logits, row)
        except Exception as e:
            return grammar_fault(e)
    if row.sampling.temperature == 0:
        return int(logits.argmax())
    return _draw(logits, row.sampling, row.seed, row.step)


def grammar_fault(error: Exception) -> KVProxyError:
    """Return the client's error for an exception of the grammar library, which ends that answer and not the batch."""
    if isinstance(error, KVProxyError):
        return error
    logger.error("the grammar library failed on an answer, which ends with an error", exc_info=error)
    return KVProxyError("the grammar of this answer failed; the log has the cause")


def _adjust(logits: torch.Tensor, row: SampledRow) -> None:
    """Apply penalties, grammar mask and forbidden ids, in place. logits: float32 [vocab]."""
    if row.penalties is not None:
        row.penalties.apply(logits)
    if row.constraint is not None:
        row.constraint.mask(logits)
        if logits.max() == -math.inf:
            raise KVProxyError("no token can follow in the grammar of this answer")
    if row.forbidden:
        ids = torch.tensor(sorted(row.forbidden), device=logits.device)
        before = logits[ids]
        logits[ids] = -math.inf
        if logits.max() == -math.inf:  # A grammar that allows nothing but the end outranks min_tokens.
            logits[ids] = before


def _draw(logits: torch.Tensor, p: Sampling, seed: int, step: int) -> int:
    """Draw a token: temperature, then top_k, top_p and min_p, in transformers' order; then one uniform number decides.

    Candidates are ordered by (-logit, token id) wherever their order matters, so that equal logits cannot be
    ordered by chance; without top_k and top_p they stay in the order of their ids, which saves sorting a
    vocabulary. float64 throughout: one row is small, and the cumulative sum's last place must not decide.
    """
    scaled = logits.double() / max(p.temperature, LEAST_TEMPERATURE)
    ids: torch.Tensor | None = None
    if 0 < p.top_k < scaled.shape[0]:
        scaled, ids = largest(scaled, p.top_k)
    probabilities = torch.softmax(scaled, dim=0)
    if p.top_p < 1.0:
        kept = _nucleus(probabilities, p.top_p)
        probabilities, ids = probabilities[kept], kept if ids is None else ids[kept]
    if p.min_p > 0.0:
        kept = (probabilities >= p.min_p * probabilities.max()).nonzero().squeeze(1)
        probabilities, ids = probabilities[kept], kept if ids is None else ids[kept]
    cumulative = probabilities.cumsum(0)
    total = float(cumulative[-1])
    # Below the total even after rounding: the token found then has a probability, as a masked token has not.
    at = min(uniform(seed, step) * total, math.nextafter(total, 0.0))
    choice = int(torch.searchsorted(cumulative, at, right=True))
    return choice if ids is None else int(ids[choice])


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Return the indices of the smallest set with a mass of ``top_p``, likeliest first.

    A token belongs to it when the likelier ones have less than ``top_p`` together.
    """
    # Tokens this unlikely hold, all together, less than half of the mass that top_p leaves out: they need no sorting.
    heavy = (probabilities >= (1.0 - top_p) / (2 * probabilities.shape[0])).nonzero().squeeze(1)
    ranked, order = torch.sort(probabilities[heavy], descending=True, stable=True)
    keep = int((ranked.cumsum(0) - ranked < top_p).sum())
    return heavy[order[: max(keep, 1)]]


def uniform(seed: int, step: int) -> float:
    """Return a number in [0, 1) from sha256(seed, step): no generator whose state batch mates could advance."""
    digest = hashlib.sha256(b"%d:%d" % (seed, step)).digest()
    return int.from_bytes(digest[:8], "little") / 2**64
