"""Pages of KV: their size and keys, the result of looking them up, and the record of those kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kvproxy.core.callers import PUBLIC
from kvproxy.core.replica_choice import ReplicaChoice

PAGE_TOKENS = 256
"""Positions in one page of KV. Part of the engine fingerprint; never change it in place."""


@dataclass(frozen=True, slots=True)
class PagesFound:
    """Pages that hold the first ``tokens`` positions of a prompt; retained while the lookup's block is open."""

    tokens: int
    on_disk: int
    """The part of those positions that must be loaded first."""
    choice: ReplicaChoice | None = None
    """The replica that the prompt goes to, of a fleet; its tokens are expected, not sure."""


@dataclass(frozen=True, slots=True)
class NoPages:
    """The result of a lookup that found no page for the caller."""

    evicted: bool
    """True when the first page was once kept for this caller and has been evicted."""
    choice: ReplicaChoice | None = None
    """The replica that the prompt goes to, of a fleet, with the reason that it holds nothing."""


PageLookup = PagesFound | NoPages


@dataclass(frozen=True, slots=True)
class Residency:
    """Tokens of a kept prefix that a lookup would find now, by the nearest tier that has them."""

    memory: int = 0
    disk: int = 0
    objects: int = 0

    @property
    def tokens(self) -> int:
        """Tokens in any tier."""
        return self.memory + self.disk + self.objects


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page in the record of a published prefix."""

    key: bytes
    """sha256 page key, 32 bytes."""
    tokens: int


def stored_key(key: bytes, scope: str) -> bytes:
    """Return the key, 32 bytes, of a page in the page store.

    A page that is not public is stored once for each scope, so that neither the time to write or drop it nor the room
    that it takes shows whether another publisher has the same text.
    """
    return key if scope == PUBLIC else hashlib.sha256(key + scope.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Kept:
    """The record of one published prefix: enough to find its pages again after a restart."""

    fingerprint: str
    token_ids: tuple[int, ...]
    pages: tuple[KeptPage, ...]
    bytes: int
    prefill_s: float
    """0.0 when every page was there already."""
    computed: int = 0
    """Positions that were computed for it; the others were taken from pages that were there."""


@dataclass(frozen=True, slots=True)
class KeptCost:
    """Estimated seconds to have a kept prefix again once it is out of memory, from speeds measured on this machine.

    Requests take the cheaper way.
    """

    load_s: float
    """To load its pages from where they are."""
    compute_s: float
    """To compute them."""
