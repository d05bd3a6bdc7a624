"""`Preparation`: the part of publishing that computes no page: spellings, tokens and prefixes of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kvproxy import __version__
from kvproxy.documents.library.document import Document, FramedPrefix, TokenizedDocument
from kvproxy.documents.library.known_document import KnownDocument, SpelledText
from kvproxy.documents.library.spelling import NORMAL_FORMS, PUBLISHED, Spelling, normal_forms, spellings
from kvproxy.documents.prompts.compose import Composer

SpellingPolicy = Literal["auto", "exact"]
"""``auto``: all distinct spellings of a text; ``exact``: the published one alone."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A text's tokens, its other spellings, and the prefixes to prefill of all of them."""

    tokenized: TokenizedDocument
    prefixes: tuple[FramedPrefix, ...]
    others: tuple[SpelledText, ...]

    def known(self, document: Document, quarantined: str | None = None) -> KnownDocument:
        """Make the library's value of ``document``, with these tokens."""
        return KnownDocument(document, self.tokenized, self.prefixes, quarantined, self.others)


class Preparation:
    """Prepares texts. Safe in any thread."""

    def __init__(self, composer: Composer, policy: SpellingPolicy = "auto") -> None:
        self._composer = composer
        self._policy = policy

    def recipe(self, limit: int) -> str:
        """Return a digest of all inputs of ``prepare`` beside the text."""
        return f"{__version__} {self._composer.digest} {self._policy} {limit} forms tails"

    def prepare(self, text: str, limit: int, token_ids: Sequence[int] | None = None) -> Prepared:
        """Tokenise every spelling of ``text``. ``token_ids``: those of the stripped text, if known.

        Prefixes of more than ``limit`` tokens are left out, except for those of the published text, which the
        publisher then rejects.

        Example:
            ``prepared = preparation.prepare(text, limit=32512)``
        """
        tokenized = self._composer.tokenize(text, token_ids)
        prefixes = list(self._framed(text, tokenized, PUBLISHED))
        others: list[SpelledText] = []
        cores = {tokenized.core: tokenized}
        for spelling in self._others(text):
            core = spelling.text.strip()
            if core not in cores:
                cores[core] = self._composer.tokenize(core)
            other = SpelledText(spelling.name, spelling.text, cores[core])
            others.append(other)
            for prefix in self._framed(other.text, other.tokenized, other.name):
                form = spelling.name in NORMAL_FORMS
                if len(prefix.token_ids) <= limit and not any(_covers(k, prefix, form) for k in prefixes):
                    prefixes.append(prefix)
        return Prepared(tokenized, tuple(prefixes), tuple(others))

    def _others(self, text: str) -> Sequence[Spelling]:
        if self._policy == "exact":
            return ()
        return (*spellings(text)[1:], *(normal_forms(text) if self._composer.joins_normalized else ()))

    def _framed(self, text: str, tokenized: TokenizedDocument, spelling: str) -> Iterator[FramedPrefix]:
        for framing in self._composer.framings:
            prefix = self._composer.framed_prefix(text, tokenized, framing, spelling)
            if prefix.token_ids:
                yield prefix


def _covers(kept: FramedPrefix, other: FramedPrefix, form: bool) -> bool:
    """Return whether the pages of one prefix are those of the other too: two spellings may differ behind the cut
    only, and a template may trim their difference in front. ``form``: the other is a normal form, whose cut may lie
    some characters further, since the same characters are more of them: no reason for pages of its own."""
    same = min(len(kept.token_ids), len(other.token_ids)) if form else len(other.token_ids)
    return kept.framing == other.framing and kept.token_ids[:same] == other.token_ids[:same]
