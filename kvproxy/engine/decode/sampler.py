"""Choosing the next token. With a seed, a function of (logits, parameters, seed, position) alone, where the
parameters include what the answer has said so far."""

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
"""Below it the next lower float32 logit has no probability left, and the quotient could overflow: every
probability would be NaN, and the token no token of the vocabulary."""


def fresh_seed() -> int:
    """For requests that name none."""
    return int.from_bytes(os.urandom(8), "little", signed=True)


@dataclass(frozen=True, slots=True)
class SampledRow:
    """How one row's token is chosen. ``step``: index of the token in the answer."""

    sampling: Sampling
    seed: int
    step: int
    penalties: Penalties | None = None
    constraint: TokenConstraint | None = None
    forbidden: Collection[int] = ()
    """Ids that may not be chosen while there is any other: what would end an answer that must go on."""

    @property
    def adjusted(self) -> bool:
        """Whether anything but the temperature and the cuts behind it plays a part."""
        return self.penalties is not None or self.constraint is not None or bool(self.forbidden)

    @property
    def plain(self) -> bool:
        return self.sampling.temperature == 0 and not self.adjusted


def greedy(logits: torch.Tensor) -> list[int]:
    """The first of the likeliest tokens of each row. logits: float32 [R, vocab]."""
    ids: list[int] = logits.argmax(dim=-1).tolist()
    return ids


def choose(logits: torch.Tensor, likeliest: int, row: SampledRow) -> int | KVProxyError:
    """The row's token, or why its constraint gives none. Changes nothing. logits: float32 [vocab]; ``likeliest``:
    what :func:`greedy` says of it."""
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
    """What a reader hears when the library behind a constraint raised: whatever it is, it ends that answer alone
    and not the batch."""
    if isinstance(error, KVProxyError):
        return error
    logger.error("the grammar of an answer failed", exc_info=error)
    return KVProxyError("the grammar of this answer failed; the log has the cause")


def _adjust(logits: torch.Tensor, row: SampledRow) -> None:
    """In place: what is named or was said, then what may not follow. logits: float32 [vocab]."""
    if row.penalties is not None:
        row.penalties.apply(logits)
    if row.constraint is not None:
        row.constraint.mask(logits)
        if logits.max() == -math.inf:
            raise KVProxyError("no token can follow in the grammar of this answer")
    if row.forbidden:
        ids = torch.tensor(sorted(row.forbidden), device=logits.device)
        were = logits[ids]
        logits[ids] = -math.inf
        if logits.max() == -math.inf:  # A grammar that allows nothing but the end outranks min_tokens.
            logits[ids] = were


def _draw(logits: torch.Tensor, p: Sampling, seed: int, step: int) -> int:
    """Temperature, then top_k, top_p and min_p, in transformers' order; then one uniform number decides.

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
    # Below the total whatever rounding does: what is found then has a probability, as a masked token has not.
    at = min(uniform(seed, step) * total, math.nextafter(total, 0.0))
    choice = int(torch.searchsorted(cumulative, at, right=True))
    return choice if ids is None else int(ids[choice])


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Indices of the smallest set whose mass reaches ``top_p``, likeliest first: all tokens before which less
    than ``top_p`` has gathered."""
    # Tokens this unlikely hold, all together, less than half of what top_p leaves out: they need no sorting.
    heavy = (probabilities >= (1.0 - top_p) / (2 * probabilities.shape[0])).nonzero().squeeze(1)
    ranked, order = torch.sort(probabilities[heavy], descending=True, stable=True)
    keep = int((ranked.cumsum(0) - ranked < top_p).sum())
    return heavy[order[: max(keep, 1)]]


def uniform(seed: int, step: int) -> float:
    """A number in [0, 1) from sha256(seed, step): no generator whose state batch mates could advance."""
    digest = hashlib.sha256(b"%d:%d" % (seed, step)).digest()
    return int.from_bytes(digest[:8], "little") / 2**64
