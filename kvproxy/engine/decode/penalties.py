"""Penalties: applies ``logit_bias`` and the three penalties of a request to the logits of single tokens."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from kvproxy.core import Sampling

_MOST = 1e30
"""Bound of a penalised logit: a repetition penalty near 0 must not make logits infinite, which have no order and no
probability."""


class Penalties:
    """The penalties of one answer: a function of the parameters, the prompt and the answer's tokens so far.

    Only the logits of named or generated tokens are changed; there is no [vocab] tensor of counts.
    """

    def __init__(self, sampling: Sampling, prompt: Iterable[int]) -> None:
        self._sampling = sampling
        self._counts: dict[int, int] = {}
        repeats = sampling.repetition_penalty != 1.0
        self._prompt = frozenset(prompt) if repeats else frozenset()
        self._prompt_ids: torch.Tensor | None = None
        self._bias: tuple[torch.Tensor, torch.Tensor] | None = None

    @staticmethod
    def wanted(sampling: Sampling) -> bool:
        """Return whether these parameters change any logit."""
        return bool(
            sampling.logit_bias
            or sampling.presence_penalty
            or sampling.frequency_penalty
            or sampling.repetition_penalty != 1.0
        )

    def add(self, token_id: int) -> None:
        """Count one more token of the answer."""
        self._counts[token_id] = self._counts.get(token_id, 0) + 1

    def apply(self, logits: torch.Tensor) -> None:
        """Change ``logits`` (float32 [vocab]) in place, in vLLM's order: bias, repetition, frequency, presence."""
        p, device = self._sampling, logits.device
        if p.logit_bias:
            if self._bias is None:
                ids, values = zip(*p.logit_bias, strict=True)
                self._bias = torch.tensor(ids, device=device), torch.tensor(values, device=device)
            logits[self._bias[0]] += self._bias[1]
        if p.repetition_penalty != 1.0:
            seen = self._seen(device)
            was = logits[seen]
            now = torch.where(was > 0, was / p.repetition_penalty, was * p.repetition_penalty)
            logits[seen] = now.clamp(-_MOST, _MOST)
        if self._counts and (p.frequency_penalty or p.presence_penalty):
            said = torch.tensor(list(self._counts), device=device)
            counts = torch.tensor(list(self._counts.values()), dtype=torch.float32, device=device)
            logits[said] -= counts * p.frequency_penalty + p.presence_penalty

    def _seen(self, device: torch.device) -> torch.Tensor:
        """Return every token id of prompt and answer, once."""
        if self._prompt_ids is None:
            self._prompt_ids = torch.tensor(sorted(self._prompt), dtype=torch.long, device=device)
        new = [t for t in self._counts if t not in self._prompt]
        return torch.cat((self._prompt_ids, torch.tensor(new, dtype=torch.long, device=device)))
