"""Hand-made grammars, for tests of the sampler and the engine."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch


class Walk:
    """A :class:`TokenConstraint` over a few tokens: which of them may follow depends on all that came before.

    After ``length`` tokens nothing but ``ends`` can follow; before, no end can. ``breaks_at``: the mask raises
    there, or ``accept`` does where ``breaks_on_accept``.
    """

    def __init__(
        self,
        allowed: Collection[int],
        length: int,
        *,
        ends: Collection[int] = (),
        breaks_at: int | None = None,
        breaks_on_accept: bool = False,
        error: Exception | None = None,
    ) -> None:
        self.allowed, self.length, self.ends = sorted(allowed), length, sorted(ends)
        self.accepted: list[int] = []
        self._breaks_at, self._breaks_on_accept = breaks_at, breaks_on_accept
        self._error = error or RuntimeError("the grammar broke")

    def may_follow(self, accepted: Sequence[int]) -> list[int]:
        if len(accepted) >= self.length:
            return self.ends
        return [t for t in self.allowed if (t + sum(accepted)) % 3] or self.allowed

    def mask(self, logits: torch.Tensor) -> None:
        assert logits.dim() == 1 and logits.dtype == torch.float32
        if self._breaks_at == len(self.accepted) and not self._breaks_on_accept:
            raise self._error
        following = self.may_follow(self.accepted)
        kept = logits[following].clone()
        logits.fill_(-math.inf)
        logits[following] = kept

    def accept(self, token_id: int) -> None:
        if self._breaks_at == len(self.accepted) and self._breaks_on_accept:
            raise self._error
        assert token_id in self.may_follow(self.accepted), "a token that the mask forbids"
        self.accepted.append(token_id)

    def valid(self, token_ids: Sequence[int]) -> int:
        for i, token in enumerate(token_ids):
            if token not in self.may_follow([*self.accepted, *token_ids[:i]]):
                return i
        return len(token_ids)

    @property
    def done(self) -> bool:
        return len(self.accepted) >= self.length
