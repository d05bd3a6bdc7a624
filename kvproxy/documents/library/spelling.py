"""Spellings of one text: the variants in which programs that read the same file send it.

Python's ``open().read()`` turns CR LF into LF and keeps a byte order mark, other languages keep the one and drop the
other, and text splitters strip white space. All of them are the same text to a person and other tokens to a model.

The set is closed, and leads one way only, from the published text to texts with less in them: a text has one spelling
unless it has a byte order mark, a carriage return or white space at its front. Adding the other direction (CR LF for
every text) was rejected: it would double the price of every document for a few readers. White space at the end makes
no spelling: a prefix ends before it.

Unicode's normal forms are spellings for tokenizers that normalise text to NFC, as macOS's file names and text in Hangul
reach them: the tokens are the same, and so the pages are. For all other tokenizers another form is another text, with
other tokens.

Not covered are changes of the text itself: tabs, white space at the ends of lines, and typographic quotes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

PUBLISHED = "published"
"""Name of the spelling that a reference stands for."""

MARK = "\ufeff"
"""The byte order mark. White space to JavaScript, a letter to Python."""

MOST = 6
"""The most spellings of one text, its normal forms not counted."""

NORMAL_FORMS = ("nfc", "nfd")

_CARRIAGE_RETURN = re.compile("\r\n?")


@dataclass(frozen=True, slots=True)
class Spelling:
    """One spelling of a text, under its name."""

    name: str
    """The name of this spelling: ``published``, or the changes: ``no-bom`` or ``stripped``, ``lf``, or
    ``stripped+lf``."""
    text: str


def spellings(text: str) -> tuple[Spelling, ...]:
    """Return the distinct spellings of ``text``, the published one first; ``MOST`` at most."""
    found: dict[str, Spelling] = {}
    for name, spelled in _candidates(text):
        if spelled.strip():
            found.setdefault(spelled.rstrip(), Spelling(name, spelled))
    return tuple(found.values())


def normal_forms(text: str) -> tuple[Spelling, ...]:
    """Return ``text`` in Unicode's composed and decomposed form, as far as these are other texts: ``nfc``, ``nfd``.

    They have the tokens of ``text`` where the tokenizer normalises to NFC, and nowhere else.
    """
    if text.isascii():
        return ()
    forms = (
        Spelling("nfc", unicodedata.normalize("NFC", text)),
        Spelling("nfd", unicodedata.normalize("NFD", text)),
    )
    return tuple(form for form in forms if form.text != text)


def strip_front(text: str) -> str:
    """Return ``text`` without byte order marks and white space at its front."""
    while (shorter := text.lstrip().lstrip(MARK)) != text:
        text = shorter
    return text


def _candidates(text: str) -> Iterator[tuple[str, str]]:
    for head, spelled in (("", text), ("no-bom", text.removeprefix(MARK)), ("stripped", strip_front(text))):
        yield head or PUBLISHED, spelled
        yield f"{head}+lf" if head else "lf", _CARRIAGE_RETURN.sub("\n", spelled)
