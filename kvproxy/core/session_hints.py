"""`RetainHint`: a client's wish that its prompt's pages give way last for some seconds, and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetainHint:
    """A wish about the pages of the caller's own prompt. Pages of published documents are their publishers' to pin."""

    seconds: float
    """0 releases all that the session holds."""
    session: str = ""
    """The client's name of its session; all of a tenant's requests without a name are one session."""


@dataclass(frozen=True, slots=True)
class RetainPolicy:
    """The operator's limits of such wishes."""

    share: float = 0.25
    """The part of the page budget, 0 to 1, that the sessions of one tenant may hold."""
    most_s: float = 3600.0


RETAIN_DEFAULTS = RetainPolicy()


@dataclass(frozen=True, slots=True)
class Retained:
    """The answer to a wish, in pages of the prompt: ``pages`` of ``asked`` are held, or ``released`` are not any more.

    Fewer than asked for are held where the tenant's sessions hold as many as they may.
    """

    seconds: float
    asked: int
    pages: int
    released: int = 0
