"""Pages of KV: their size and keys, the result of looking them up, and the record of those kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kvproxy.core.callers import PUBLIC

PAGE_TOKENS = 256
"""Positions in one page of KV. Part of the engine fingerprint; never change it in place."""


@dataclass(frozen=True, slots=True)
class PagesFound:
    """Pages that hold the first ``tokens`` positions of a prompt; held while the lookup's block is open."""

    tokens: int
    on_disk: int
    """How many of those positions must be loaded first."""


@dataclass(frozen=True, slots=True)
class NoPages:
    """No page that the caller may use."""

    evicted: bool
    """True when the first page was once kept for this caller and has been evicted."""


PageLookup = PagesFound | NoPages


@dataclass(frozen=True, slots=True)
class KeptPage:
    key: bytes
    """sha256 page key, 32 bytes."""
    tokens: int


def stored_key(key: bytes, scope: str) -> bytes:
    """The key, 32 bytes, of a page in the page store. Pages that not everybody may read lie there once for each scope:
    whether another publisher has the same text is told neither by how long it takes to write or drop them, nor by the
    room they take."""
    return key if scope == PUBLIC else hashlib.sha256(key + scope.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Kept:
    """What is written down of one published prefix: enough to find its pages again after a restart."""

    fingerprint: str
    token_ids: tuple[int, ...]
    pages: tuple[KeptPage, ...]
    bytes: int
    prefill_s: float
    """0.0 when every page was there already."""
