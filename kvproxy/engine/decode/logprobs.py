"""How likely a token was under the model itself, and what stood beside it."""

from __future__ import annotations

import torch

from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.events import Likelihood, TokenLogprob


def token_logprob(logits: torch.Tensor, token_id: int, top: int, vocabulary: Vocabulary) -> TokenLogprob:
    """Of a row of raw logits, float32 [vocab], before any sampling parameter.

    The row is copied first: normalised in a tensor of its own, its bits cannot depend on where in a batch it
    stood.
    """
    logprobs = torch.log_softmax(logits.clone(), dim=0)

    def likelihood(i: int, value: float) -> Likelihood:
        return Likelihood(i, vocabulary.literal_bytes(i), value)

    best: list[Likelihood] = []
    if top:
        values, ids = largest(logprobs, top)
        best = [likelihood(i, v) for i, v in zip(ids.tolist(), values.tolist(), strict=True)]
    return TokenLogprob(likelihood(token_id, float(logprobs[token_id])), tuple(best))


def largest(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``count`` largest values of [vocab] and their ids, largest first, equal ones by id.

    ``topk`` alone may pick any of several values that are equal to the smallest that is kept.
    """
    count = min(count, scores.shape[0])
    least = torch.topk(scores, count).values[-1]
    ids = (scores >= least).nonzero().squeeze(1)
    values, order = torch.sort(scores[ids], descending=True, stable=True)
    return values[:count], ids[order[:count]]
