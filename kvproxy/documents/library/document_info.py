"""What is told about a document to those who may know of it."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import Visibility


@dataclass(frozen=True, slots=True)
class FramingInfo:
    """One place where a document version was prefilled ahead of time."""

    name: str
    """``system``, and behind a colon the spelling, where it is not that of the published text: ``system:lf``."""
    tokens: int
    """Positions from 0 to the end of the document under this framing."""
    resident_tokens: int
    """How many of them a reader would find now, in memory or on disk."""
    bytes: int


@dataclass(frozen=True, slots=True)
class SpellingInfo:
    """One spelling in which a document version is recognised."""

    name: str
    """``published``, or what programs do to the text: see ``documents/library/spelling.py``."""
    characters: int
    """Without white space around it."""
    tokens: int
    """Of as much."""
    leading: str
    """The white space before it."""
    sha256: str
    """Of the UTF-8 text without white space around it, hex: whoever has a text can tell which spelling it is in."""


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """One version of a document."""

    id: str
    version: int
    current: bool
    etag: str
    """sha256 of the UTF-8 text, 64 hex digits, without quotes."""
    visibility: Visibility
    characters: int
    tokens: int
    """Tokens of the text alone."""
    created: int
    """Unix time in seconds."""
    framings: tuple[FramingInfo, ...]
    quarantined: str | None = None
    """Why its kept pages are not used; None while they are."""
    pinned: bool = False
    """Its pages stay in memory."""
    spellings: tuple[SpellingInfo, ...] = ()
    """As published first. One that needs pages of its own has framings of its own."""


@dataclass(frozen=True, slots=True)
class Published:
    info: DocumentInfo
    created: bool
    """False when the current version already had this text."""
    prefill_s: float
    """Seconds of engine time that publishing took; 0.0 when nothing had to be prefilled."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Hits on a document beside a prefill from scratch, under one framing in one spelling."""

    document: str
    framing: str
    exact: bool
    """Every page and every logit equal to the bit, every greedy token the same; False when nothing could be
    compared."""
    note: str
    """Why nothing could be compared; empty otherwise."""
    cached_tokens: int = 0
    pages: int = 0
    """Kept pages that were compared with recomputed ones."""
    equal_pages: int = 0
    positions: int = 0
    """Positions whose logits were compared, the whole vocabulary each: all of document, question and answer."""
    equal_positions: int = 0
    equal_argmax: int = 0
    largest_difference: float | None = None
    """Of any logit at any position; 0.0 where all are equal. None when there is no such number."""
    greedy_tokens: int = 0
    equal_greedy: int = 0
    first_difference: int | None = None
    """The first position whose kept key or value differs; None where no page does."""
