from __future__ import annotations

import pytest

from kvproxy.telemetry.usage.packed_counts import pack_counts, unpack_counts


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ({}, 0),
        ({0: 0}, 3),
        ({7: 255, 255: 1, 3: 2}, 1 + 3 * 2),
        ({7: 256, 255: 1}, 1 + 2 * 3),
        ({1: 2**16, 2: 2**32 - 1}, 1 + 2 * 5),
        ({1: 2**32, 2: 2**64 - 1}, 1 + 2 * 9),
    ],
)
def test_counts_come_back_in_their_order_and_take_as_few_bytes_as_the_largest_needs(
    counts: dict[int, int], size: int
) -> None:
    packed = pack_counts(counts)
    assert len(packed) == size
    assert list(unpack_counts(packed).items()) == list(counts.items())
