"""`FrequencySketch`: approximate counts of hashes in a fixed amount of memory, never too low."""

from __future__ import annotations

from collections.abc import Iterator

DEPTH = 4
"""Rows. A count is too high only where other hashes share its place in each of them."""
MOST = 255
"""The largest count: one byte a place."""


class FrequencySketch:
    """A count-min sketch with conservative update, whose counts are halved as it fills. Not thread-safe.

    After Cormode and Muthukrishnan, "An improved data stream summary" (2005); halving as in TinyLFU (2017), so that
    what was frequent long ago gives way.

    Example:
        ``sketch = FrequencySketch(width=4096); sketch.add(hash) >= 2``
    """

    def __init__(self, width: int = 4096) -> None:
        """``width``: places in each of DEPTH rows, a power of two; the memory is width * DEPTH bytes."""
        if width < 2 or width & (width - 1):
            raise ValueError("width must be a power of two")
        self._mask = width - 1
        self._rows = [bytearray(width) for _ in range(DEPTH)]
        self._added = 0
        self._period = width

    @property
    def size(self) -> int:
        """Bytes of its counts."""
        return sum(len(row) for row in self._rows)

    def count(self, digest: bytes) -> int:
        """Return how often a digest was added, or more; halved with age. ``digest``: at least 4 * DEPTH bytes."""
        return min(row[place] for row, place in self._places(digest))

    def add(self, digest: bytes) -> int:
        """Count a digest once more, and return its count."""
        self._added += 1
        if self._added >= self._period:
            self._age()
        new = min(self.count(digest) + 1, MOST)
        for row, place in self._places(digest):
            row[place] = max(row[place], new)
        return new

    def _places(self, digest: bytes) -> Iterator[tuple[bytearray, int]]:
        return (
            (row, int.from_bytes(digest[4 * i : 4 * i + 4], "little") & self._mask)
            for i, row in enumerate(self._rows)
        )

    def _age(self) -> None:
        self._added = 0
        halves = bytes(i // 2 for i in range(MOST + 1))
        self._rows = [row.translate(halves) for row in self._rows]
