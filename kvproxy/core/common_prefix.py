"""`common_prefix`: the length of the common beginning of two texts or token sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_FIRST_STEP = 64


def common_prefix(a: Sequence[Any], b: Sequence[Any], at: int = 0) -> int:
    """Return the number of leading items of ``a`` and of ``b[at:]`` that are equal, by comparing slices of doubling
    length.

    The cost follows from the common beginning alone, without a step of Python for each item. Both are of one type
    (two tuples, two lists or two texts), since slices of different types are never equal.

    Example:
        ``common_prefix("handbook", "handle") == 4``
    """
    begin, step, shorter = 0, _FIRST_STEP, min(len(a), len(b) - at)
    while a[begin : begin + step] == b[at + begin : at + begin + step]:
        begin += step
        step *= 2
        if begin >= shorter:
            return shorter
    end = min(begin + step, shorter)
    while begin < end:
        middle = (begin + end + 1) // 2
        if a[begin:middle] == b[at + begin : at + middle]:
            begin = middle
        else:
            end = middle - 1
    return begin
