"""`PublishedUsage`: what a tenant has published, summed."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import PAGE_TOKENS
from kvproxy.documents.library.document import FramedPrefix, TokenizedDocument


@dataclass(frozen=True, slots=True)
class PublishedUsage:
    """Sums over versions. Pages that versions share count for each: a sum must not tell what others have published."""

    versions: int = 0
    tokens: int = 0
    """Tokens of the texts alone."""
    pages: int = 0
    """Pages of all framings and spellings."""

    def __add__(self, other: PublishedUsage) -> PublishedUsage:
        return PublishedUsage(
            self.versions + other.versions, self.tokens + other.tokens, self.pages + other.pages
        )

    def __sub__(self, other: PublishedUsage) -> PublishedUsage:
        return PublishedUsage(
            self.versions - other.versions, self.tokens - other.tokens, self.pages - other.pages
        )


def usage_of(tokenized: TokenizedDocument, prefixes: tuple[FramedPrefix, ...]) -> PublishedUsage:
    """Return what one version takes.

    Example:
        ``usage_of(known.tokenized, known.prefixes)``
    """
    pages = sum(-(-len(prefix.token_ids) // PAGE_TOKENS) for prefix in prefixes)
    return PublishedUsage(1, len(tokenized.token_ids), pages)
