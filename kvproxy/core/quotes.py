"""Quotes as values: what one is made of, and what an honoured one fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kvproxy.core.charges import Charge, DocumentTokens

QuoteDecision = Literal["hit", "miss"]


@dataclass(frozen=True, slots=True)
class QuoteBasis:
    """A request with its price, before anything of it is computed."""

    model: str
    prompt_tokens: int
    cached_tokens: int
    """Positions that would be taken from kept pages now."""
    max_tokens: int
    """Tokens of all answers together that ``most`` covers."""
    documents: tuple[DocumentTokens, ...]
    """All documents of the prompt, with their cached tokens, which may be 0, and the terms that price them."""
    price: Charge
    """The price of the prompt as it is cached now, and cold, without an answer."""
    most: int
    """Nano-units that the request may cost with its answers, as a miss."""
    decision: QuoteDecision
    reason: str
    """The reason of a miss from the closed list of decisions; empty for a hit."""


@dataclass(frozen=True, slots=True)
class HonouredQuote:
    """A quote that was redeemed: the request is priced by its tariff and terms, whatever is valid now."""

    jti: str
    model: str
    tariff: str
    """Id of the tariff."""
    terms: Mapping[str, str]
    """Ids of the terms by document: ``handbook@3``."""
    most_nano: int
    """The most that the quoted request was to cost. Only the prices are fixed: another request may cost more."""
    expires_ms: int
