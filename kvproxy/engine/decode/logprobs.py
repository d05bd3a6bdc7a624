"""Log-probabilities of tokens under the model itself, with the likeliest alternatives."""

from __future__ import annotations

import torch

from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.events import Likelihood, TokenLogprob


def token_logprob(logits: torch.Tensor, token_id: int, top: int, vocabulary: Vocabulary) -> TokenLogprob:
    """Return the log-probability of ``token_id`` and of the ``top`` likeliest tokens, before any sampling parameter.

    logits: float32 [vocab]. The row is copied first: normalised in a tensor of its own, its bits cannot depend on
    its place in a batch. Example: ``token_logprob(logits, chosen, 5, vocabulary).top``
    """
    logprobs = torch.log_softmax(logits.clone(), dim=0)
    ids, values = [token_id], [float(logprobs[token_id])]
    if top:
        best, best_ids = largest(logprobs, top)
        ids += best_ids.tolist()
        values += best.tolist()
    texts = vocabulary.literals(ids)
    chosen, *alternatives = map(Likelihood, ids, texts, values)
    return TokenLogprob(chosen, tuple(alternatives))


def largest(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ``count`` largest values of [vocab] and their ids, largest first, equal ones by id.

    ``topk`` alone may pick any of several values that are equal to the smallest that is kept.
    """
    count = min(count, scores.shape[0])
    least = torch.topk(scores, count).values[-1]
    ids = (scores >= least).nonzero().squeeze(1)
    values, order = torch.sort(scores[ids], descending=True, stable=True)
    return values[:count], ids[order[:count]]
