"""`TokenConstraint`: the interface between the sampler and a grammar, independent of the grammar library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from kvproxy.core import Caller, Constraint, LeftOut


class TokenConstraint(Protocol):
    """The grammar of one answer and its state. Engine thread only.

    ``mask``, ``accept`` and ``done`` are functions of the accepted tokens alone, so that batch mates, reuse and
    restarts change nothing.
    """

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits of tokens that cannot follow to -inf, in place. logits: float32 [vocab].

        End tokens are allowed exactly where the answer may end. Raises KVProxyError when the grammar has failed.
        """

    def accept(self, token_id: int) -> None:
        """Advance the state by the sampled token, end tokens included."""

    def valid(self, token_ids: Sequence[int]) -> int:
        """Count the leading tokens of a draft that could follow. Changes nothing."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete: only an end token can follow."""


class CompiledGrammar(Protocol):
    """A compiled grammar, for any number of answers."""

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The parts of the client's constraint that the grammar does not enforce."""

    def start(self) -> TokenConstraint:
        """Return a constraint for one answer, at its beginning."""


class GrammarCompiler(Protocol):
    """Compiles constraints of answers into masks over this model's vocabulary."""

    async def compile(self, constraint: Constraint, caller: Caller) -> CompiledGrammar:
        """Compile off the event loop, once for each grammar and scope of ``caller``.

        Raises UnsupportedSchema for a constraint that cannot be enforced, and InvalidRequest for tool calls that this
        model has no format for.
        """
