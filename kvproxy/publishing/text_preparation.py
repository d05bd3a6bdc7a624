"""`TextPreparer`: makes a text and its prefixes tokens, and refuses one that leaves no room for a question."""

from __future__ import annotations

from kvproxy.backends.base import LocalBackend
from kvproxy.documents.prepared.preparation import Preparation, Prepared, SpellingPolicy
from kvproxy.documents.prompts.compose import Composer
from kvproxy.errors import DocumentRejected

MARGIN = 256
"""Positions that a document must leave free for the question and the answer."""


class TextPreparer:
    """Tokenises texts for one model. Safe in any thread.

    Example:
        ``prepared = preparer.prepare("handbook", text)``
    """

    def __init__(self, composer: Composer, spellings: SpellingPolicy, local: LocalBackend) -> None:
        self.preparation = Preparation(composer, spellings)
        self._composer, self._local = composer, local

    @property
    def longest(self) -> int:
        """The most tokens that a prefix may have."""
        return self._local.info.max_context - MARGIN

    def recipe(self) -> str:
        """Return a digest of all inputs of ``prepare`` beside the text."""
        return self.preparation.recipe(self.longest)

    def prepare(self, id: str, text: str) -> Prepared:
        """Tokenise the text and its prefixes, of at most ``longest`` tokens. Raises DocumentRejected.

        Example:
            ``prepared = preparer.prepare("handbook", text)``
        """
        limit = self.longest
        token_ids = self._composer.encode(text)
        longest = len(token_ids)
        if longest <= limit:  # a far longer text is rejected without being cut
            prepared = self.preparation.prepare(text, limit, token_ids)
            longest = max([longest, *(len(p.token_ids) for p in prepared.prefixes)])
            if longest <= limit:
                return prepared
        raise DocumentRejected(
            f"'{id}' needs {longest} tokens; this model's context has {limit + MARGIN}, {MARGIN} of them "
            "kept free for question and answer. Publish it in parts.",
            param="text",
        )
