"""`pack_counts` and `unpack_counts`: counts by small numbers, as few bytes while they do not change."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

_CODES = "BHIQ"
"""Unsigned numbers of 1, 2, 4 and 8 bytes: the narrowest that holds all counts."""


def pack_counts(counts: Mapping[int, int]) -> bytes:
    """Return counts, none below 0, by numbers of 0 to 255: two bytes each while all are below 256, and one in all.

    Example: ``unpack_counts(pack_counts({7: 2})) == {7: 2}``
    """
    if not counts:
        return b""
    most = max(counts.values())
    code = next(code for code in _CODES if most >> 8 * array(code).itemsize == 0)
    return bytes([ord(code), *counts]) + array(code, counts.values()).tobytes()


def unpack_counts(packed: bytes) -> dict[int, int]:
    """Return what was packed."""
    if not packed:
        return {}
    code = chr(packed[0])
    keys = (len(packed) - 1) // (1 + array(code).itemsize)
    return dict(zip(packed[1 : keys + 1], array(code, packed[keys + 1 :]), strict=True))
