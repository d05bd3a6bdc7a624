"""Results of reading a page from disk (`Loaded`, `Missing`, `Rejected`), where it is read to, and `StoreUsage`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class LayerRoom(Protocol):
    """Protocol of a place that a page is read to, a layer at a time, in order.

    A layer is its K, then its V: [2, kv_heads, positions, head_dim] in row-major order.
    """

    def room(self, layer: int, size: int) -> memoryview:
        """Return writable memory of ``size`` bytes for a layer; its content counts once :meth:`filled` is called.

        Example: ``target = room.room(0, 196_608)``
        """

    def filled(self, layer: int) -> None:
        """Take a layer whose numbers were verified and lie in the memory that :meth:`room` returned."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The page that was asked for, to the bit.

    ``payload`` is writable and belongs to the caller; it is empty when they went to a `LayerRoom`.
    """

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
