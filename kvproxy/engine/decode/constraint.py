"""What the sampler asks of a grammar, so that it need not know which library stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from kvproxy.core import Caller, Constraint, LeftOut


class TokenConstraint(Protocol):
    """The grammar of one answer and how far it is. Engine thread only.

    ``mask``, ``accept`` and ``done`` are functions of the accepted tokens alone, so that batch mates, reuse and
    restarts change nothing.
    """

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits of tokens that cannot follow to -inf, in place. logits: float32 [vocab]. End tokens are
        allowed exactly where the answer may end. Raises KVProxyError when the grammar is broken beyond use."""

    def accept(self, token_id: int) -> None:
        """The sampled token, end tokens included."""

    def valid(self, token_ids: Sequence[int]) -> int:
        """How many leading tokens of a draft could follow; changes nothing (for speculative rows)."""

    @property
    def done(self) -> bool:
        """Nothing but an end token can follow: the answer is complete."""


class CompiledGrammar(Protocol):
    """One grammar for any number of answers."""

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The constraints that a client asked for and the grammar does not enforce."""

    def start(self) -> TokenConstraint:
        """The constraint of one answer, at its beginning."""


class GrammarCompiler(Protocol):
    """Turns what an answer has to look like into masks over this model's vocabulary."""

    async def compile(self, constraint: Constraint, caller: Caller) -> CompiledGrammar:
        """Off the event loop, once per grammar and scope of ``caller``. Raises UnsupportedSchema for what cannot be
        enforced, and InvalidRequest for calls that this model has no way to write."""
