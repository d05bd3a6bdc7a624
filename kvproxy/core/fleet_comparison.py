"""`FleetComparison`: a hit on a replica beside a forced cold read of the same tokens. Agreement, not exactness."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetComparison:
    """A greedy answer from cached blocks beside one that was computed from scratch, at one replica."""

    replica: str
    prompt_tokens: int
    cached_tokens: int
    """Positions that the hit took from the replica's cache, as the replica counts them; None was a hit where 0."""
    cold_cached_tokens: int
    """Positions that the cold read took from it: 0, or the comparison says nothing."""
    forced: bool
    """True where the replica was told to skip its cache; False where a random salt kept it from finding anything."""
    tokens: int
    """Tokens of the shorter of the two answers."""
    equal_tokens: int
    """Their leading tokens that are the same."""
    positions: int
    """Positions whose logprobs were compared: up to the first token that differs, and that one."""
    largest_difference: float
    """Of any alternative's logprob at any of them, natural logarithm; 0.0 where all are the same."""

    @property
    def counts(self) -> bool:
        """True where the first answer did read cached blocks and the second did not: else they say nothing."""
        return self.cached_tokens > 0 and self.cold_cached_tokens == 0

    @property
    def agreed(self) -> bool:
        """True when all tokens are the same. No claim about bits."""
        return self.equal_tokens == self.tokens

    @property
    def agreement(self) -> float:
        """The share of leading tokens that are the same, 0 to 1."""
        return self.equal_tokens / self.tokens if self.tokens else 1.0
