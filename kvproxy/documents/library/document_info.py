"""`DocumentInfo`: the view of a document that its API returns to a caller allowed to see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kvproxy.core import Residency, Visibility
from kvproxy.core.fleet_comparison import FleetComparison
from kvproxy.core.replica_choice import ReplicaResidency
from kvproxy.documents.library.document import Origin

Pinning = Literal[True, False, "best effort"]

GREEDY_TOKENS = 24
"""Greedy tokens that a verification compares by default, as many as the paper does (arXiv 2606.13361)."""


@dataclass(frozen=True, slots=True)
class FramingInfo:
    """One place where a document version was prefilled ahead of time."""

    name: str
    """``system``, with the spelling behind a colon where it is not that of the published text: ``system:lf``."""
    tokens: int
    """Positions from 0 to the end of the document under this framing."""
    resident_tokens: int
    """The part of them with pages in memory or on disk now; of a fleet, the most that one replica holds."""
    bytes: int
    tiers: Residency = field(default_factory=Residency)
    """The resident tokens by the nearest tier that has them."""
    load_s: float = 0.0
    """Estimated seconds to load its pages once they are out of memory."""
    compute_s: float = 0.0
    """The same to compute them. Requests take the cheaper way."""
    replicas: tuple[ReplicaResidency, ...] = ()
    """The part of it that each replica of a fleet holds; () for an engine of this process."""


@dataclass(frozen=True, slots=True)
class SpellingInfo:
    """One spelling in which a document version is recognised."""

    name: str
    """``published``, or the change that programs make to the text: see ``documents/library/spelling.py``."""
    characters: int
    """Characters without the white space around them."""
    tokens: int
    """Tokens of those characters."""
    leading: str
    """The white space before it."""
    sha256: str
    """Digest of the UTF-8 text without white space around it, hex. A client finds the spelling of its own text by
    it."""


@dataclass(frozen=True, slots=True)
class ModelFramings:
    """A document version as the tokens of a served model besides the first."""

    model: str
    tokens: int
    """Tokens of the text alone."""
    framings: tuple[FramingInfo, ...]


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
    """The reason that its kept pages are not used; None while they are."""
    pinned: Pinning = False
    """True while its pages stay in memory; ``best effort`` on a fleet, whose replicas keep what they have room for."""
    origin: Origin = "published"
    reads: int = 0
    """Reads from kept pages so far."""
    saved_tokens: int = 0
    """Positions that those reads did not compute."""
    last_read: int | None = None
    """Unix time in seconds of the last one."""
    expires: int | None = None
    """Unix time in seconds from which it is not served any more; None: never."""
    aliases: tuple[str, ...] = ()
    """Movable names that mean this version, ``latest`` left out."""
    spellings: tuple[SpellingInfo, ...] = ()
    """The spelling as published comes first. A spelling that needs pages of its own has framings of its own."""


@dataclass(frozen=True, slots=True)
class Published:
    """The result of publishing a document."""

    info: DocumentInfo
    created: bool
    """False when the current version already had this text."""
    prefill_s: float
    """Seconds of engine time that publishing took; 0.0 when nothing had to be prefilled."""
    computed: int = 0
    """Tokens that were prefilled, over all framings and spellings."""
    reused: int = 0
    """Tokens whose pages were there: those of earlier versions up to their first change, or of other framings."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The comparison of hits on a document with a prefill from scratch, under one framing in one spelling."""

    document: str
    framing: str
    exact: bool
    """True when every page and every logit is equal to the bit and every greedy token is the same; False when no
    comparison was possible."""
    note: str
    """The reason that no comparison was possible; empty otherwise."""
    cached_tokens: int = 0
    pages: int = 0
    """Kept pages that were compared with recomputed ones."""
    equal_pages: int = 0
    positions: int = 0
    """Positions with compared logits, the whole vocabulary each: all of document, question and answer."""
    equal_positions: int = 0
    equal_argmax: int = 0
    largest_difference: float | None = None
    """The largest difference of any logit at any position; 0.0 where all are equal. None when there is no such
    number. Of a fleet: of any logprob of the tokens that both answers have."""
    greedy_tokens: int = 0
    equal_greedy: int = 0
    first_difference: int | None = None
    """The first position with another kept key or value; None where no page differs."""
    agreement: FleetComparison | None = None
    """The two answers of a fleet's replica, of which ``exact`` is never claimed; None for an engine of this process."""
