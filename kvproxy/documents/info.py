"""What is told about a document to those who may know of it."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import Visibility


@dataclass(frozen=True, slots=True)
class FramingInfo:
    """One place where a document version was prefilled ahead of time."""

    name: str
    tokens: int
    """Positions from 0 to the end of the document under this framing."""
    resident_tokens: int
    """How many of them a reader would find now, in memory or on disk."""
    bytes: int


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


@dataclass(frozen=True, slots=True)
class Published:
    info: DocumentInfo
    created: bool
    """False when the current version already had this text."""
    prefill_s: float
    """Seconds of engine time that publishing took; 0.0 when nothing had to be prefilled."""


@dataclass(frozen=True, slots=True)
class Verification:
    """A hit on a document beside a prefill from scratch, under one framing."""

    document: str
    framing: str
    exact: bool
    """Every logit equal to the bit, every greedy token the same; False when nothing could be compared."""
    note: str
    """Why nothing could be compared; empty otherwise."""
    cached_tokens: int = 0
    positions: int = 0
    """Positions behind the cached ones whose logits were compared, the whole vocabulary each."""
    equal_argmax: int = 0
    largest_difference: float | None = None
    """Of any logit at any position; 0.0 means equal to the bit. None when there is no such number."""
    greedy_tokens: int = 0
    equal_greedy: int = 0
