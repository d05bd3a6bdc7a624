"""Results of comparing kept pages, and answers from them, with what is computed from scratch: to the bit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hits on a prompt, cut at every page, beside one prefill from scratch of the same tokens."""

    cached_tokens: int
    pages: int
    """Kept pages that were compared with recomputed ones."""
    equal_pages: int
    positions: int
    """Positions whose logits were compared, the whole vocabulary each: all of the prompt, and of the answer up to the
    first token that differs."""
    equal_positions: int
    """At how many of them every logit has the same bits."""
    equal_argmax: int
    """At how many of them the greedy token is the same."""
    largest_difference: float
    """Of any logit at any of them; NaN when there is one that is no number."""
    greedy_tokens: int
    equal_greedy: int
    """Leading tokens of the two greedy answers that are the same, out of ``greedy_tokens``."""
    first_difference: int | None = None
    """The first position of the prompt where the kept key or value has other bits; None when no page differs."""

    @property
    def exact(self) -> bool:
        """True when no page, logit or token differs."""
        return (self.equal_pages, self.equal_positions, self.equal_greedy) == (
            self.pages,
            self.positions,
            self.greedy_tokens,
        )


@dataclass(frozen=True, slots=True)
class BadPage:
    """A kept page with other bits than those of a prefill from scratch."""

    scope: str
    key: bytes
    index: int
    position: int
    """The first position of the prompt that differs."""
    largest_difference: float
    """Of any component of a key or value; NaN when there is one that is no number."""

    @property
    def note(self) -> str:
        """The fault in words, for the document's views and the log."""
        return (
            f"page {self.index} differs from a prefill from position {self.position} on, "
            f"by up to {self.largest_difference:.6g}"
        )


@dataclass(frozen=True, slots=True)
class Recheck:
    """Kept pages, each beside one that was computed from the kept pages before it."""

    pages: int
    """Pages compared."""
    computed: int
    """Positions computed for them."""
    bad: BadPage | None
    """The first that differs, in the order asked for; the ones behind it are not compared."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Comparison of a served hit with a prefill from scratch that has the same sampling and seed."""

    request_id: str
    pages: int
    """Compared with recomputed ones."""
    missing_pages: int
    """Taken by the hit, and not in memory any more."""
    bad_pages: tuple[BadPage, ...]
    positions: int
    """Positions that the hit itself computed: the prompt's tail, and the answer up to the first token that differs."""
    equal_positions: int
    largest_difference: float
    tokens: int
    """Of the answer that was served."""
    equal_tokens: int

    @property
    def passed(self) -> bool:
        """True when no page, logit or token of the served hit differs."""
        return not self.bad_pages and (self.equal_positions, self.equal_tokens) == (
            self.positions,
            self.tokens,
        )
