"""Spellings of one text: byte order mark, white space and line ends, which a reader does not see. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

MARK = "\ufeff"
"""The byte order mark."""
_CARRIAGE_RETURN = re.compile("\r\n?")


def spelled(text: str, names: Collection[str]) -> Iterator[str]:
    """Yield ``text`` as published, then in the other spellings that the proxy recognises, by its names for them."""
    yield text
    for head, base in (("", text), ("no-bom", text.removeprefix(MARK)), ("stripped", bare(text))):
        if head in names:
            yield base
        if (f"{head}+lf" if head else "lf") in names:
            yield _CARRIAGE_RETURN.sub("\n", base)


def bare(text: str) -> str:
    """Strip byte order marks and white space from the front of a text."""
    while (shorter := text.lstrip().lstrip(MARK)) != text:
        text = shorter
    return text


def words(text: str) -> str:
    """Return the words of a text, which are the same in every spelling."""
    return " ".join(text.replace(MARK, " ").split())


def respelled(text: str, published: str) -> str:
    """Replace the words of ``published`` at the start of ``text`` by their published spelling."""
    left = sum(not _blank(character) for character in published)
    at = 0
    while left:
        left -= not _blank(text[at])
        at += 1
    return published.rstrip() + text[at:]


def cause(text: str, published: str) -> str:
    """Name the first kind of spelling in which the two differ."""
    if text.startswith(MARK) != published.startswith(MARK):
        return "a byte order mark at its front"
    front, other = text[: len(text) - len(bare(text))], published[: len(published) - len(bare(published))]
    if _CARRIAGE_RETURN.sub("\n", front) != _CARRIAGE_RETURN.sub("\n", other):
        return "the white space at its front"
    if ("\r" in text) != ("\r" in published):
        return "its line ends"
    return "white space within it"


def _blank(character: str) -> bool:
    return character.isspace() or character == MARK
