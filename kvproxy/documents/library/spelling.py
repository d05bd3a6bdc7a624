"""Spellings of one text: the ways in which programs that read the same file send it.

Python's ``open().read()`` turns CR LF into LF and keeps a byte order mark, other languages keep the one and drop the
other, and text splitters strip white space. All of them are the same text to a person and other tokens to a model.

The set is closed, and goes one way only, from what was published to what programs drop from it: a text has one
spelling unless it has a byte order mark, a carriage return or white space at its front. Adding the other direction
(CR LF for every text) was rejected: it would double the price of every document for a few readers. What stands
behind the last character that is not white space makes no spelling: a prefix ends before it.

Left alone is what changes the text itself: Unicode normal forms (tokenizers that normalise make them the same
anyway), tabs, white space at the ends of lines, and typographic quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

PUBLISHED = "published"
"""Name of the spelling that a reference stands for."""

MARK = "\ufeff"
"""The byte order mark. White space to JavaScript, a letter to Python."""

MOST = 6
"""Spellings of one text."""

_CARRIAGE_RETURN = re.compile("\r\n?")


@dataclass(frozen=True, slots=True)
class Spelling:
    name: str
    """``published``, or what was done to the text: ``no-bom`` or ``stripped``, ``lf``, or one and the other as in
    ``stripped+lf``."""
    text: str


def spellings(text: str) -> tuple[Spelling, ...]:
    """The distinct spellings of ``text``, as published first; ``MOST`` at most."""
    found: dict[str, Spelling] = {}
    for name, spelled in _candidates(text):
        if spelled.strip():
            found.setdefault(spelled.rstrip(), Spelling(name, spelled))
    return tuple(found.values())


def bare(text: str) -> str:
    """``text`` without byte order marks and white space at its front."""
    while (shorter := text.lstrip().lstrip(MARK)) != text:
        text = shorter
    return text


def _candidates(text: str) -> Iterator[tuple[str, str]]:
    for head, spelled in (("", text), ("no-bom", text.removeprefix(MARK)), ("stripped", bare(text))):
        yield head or PUBLISHED, spelled
        yield f"{head}+lf" if head else "lf", _CARRIAGE_RETURN.sub("\n", spelled)
