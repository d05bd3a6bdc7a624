"""`CompressionChoice`: whether the next page is stored compressed, from what reading pages took and the room left."""

from __future__ import annotations

import time
from collections import deque

SCARCE = 0.8
"""Share of the store's size in use from which pages are compressed for their room."""
RATIO = 1.5
"""Size of a plain page over that of a compressed one, on the KV of real text."""
DECODE = 1.5e9
"""Bytes of KV decoded per second on one core."""
_REMEMBERED = 32


def worth_compressing(*, used: int, max_size: int, read_speed: float | None) -> bool:
    """Decide for ``auto``: room is scarce, or a third less to read saves more time than decoding takes.

    A thread reads a page and then decodes it, so that a page of S bytes takes S / (RATIO x speed) + S / DECODE seconds
    instead of S / speed: less where the medium gives under half a gigabyte in a second. ``read_speed``: bytes of plain
    pages per second and thread, their digests included; None: not measured.

    Example: ``worth_compressing(used=17 * 2**30, max_size=20 * 2**30, read_speed=2e9)``
    """
    slow = read_speed is not None and read_speed < DECODE * (1 - 1 / RATIO)
    return used > SCARCE * max_size or slow


class CompressionChoice:
    """The state of ``auto``: the speeds of the last reads. The fastest counts: other work only slows one down.

    Any thread may call it.
    """

    def __init__(self, *, always: bool) -> None:
        """Start without measurements. ``always``: compress every page."""
        self._always = always
        self._speeds: deque[float] = deque(maxlen=_REMEMBERED)

    def wanted(self, used: int, max_size: int) -> bool:
        """Return whether a page that is put now is compressed.

        Example: ``choice.wanted(used=0, max_size=20 * 2**30)``
        """
        speed = max(self._speeds.copy(), default=None)
        return self._always or worth_compressing(used=used, max_size=max_size, read_speed=speed)

    def note_read(self, plain_bytes: int, began: float) -> None:
        """Record a plain page that was read since ``began``, as ``time.perf_counter`` had it."""
        seconds = time.perf_counter() - began
        if plain_bytes and seconds > 0:
            self._speeds.append(plain_bytes / seconds)
