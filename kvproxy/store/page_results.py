"""Results of reading a page from disk (`Loaded`, `Missing`, `Rejected`), and `StoreUsage`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loaded:
    """The page that was asked for, to the bit. ``payload`` is writable and belongs to the caller."""

    payload: memoryview


@dataclass(frozen=True, slots=True)
class Missing:
    """No page under this key."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """There was a page, and it must not be used. A damaged one is dropped, so that it can be put again."""

    reason: str


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """``bytes`` are those of the page files, headers included; the index adds some 200 bytes a page."""

    pages: int
    bytes: int
    max_size: int
