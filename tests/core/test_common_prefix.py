from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core.common_prefix import common_prefix


@given(st.lists(st.integers(0, 2), max_size=40), st.lists(st.integers(0, 2), max_size=40))
def test_short_sequences_equal_a_loop(a: list[int], b: list[int]) -> None:
    expected = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        expected += 1
    assert common_prefix(a, b) == expected
    assert common_prefix(tuple(a), tuple(b)) == expected
    assert common_prefix(a, [9, 9, *b], 2) == expected


@pytest.mark.parametrize("size", [63, 64, 65, 191, 192, 193, 448, 1000])
def test_long_sequences_are_found_at_every_place(size: int) -> None:
    one = tuple(range(1000))
    for tail in ((), (-1,), (-1,) * 2000):
        assert common_prefix(one, one[:size] + tail) == size
        assert common_prefix(one[:size] + tail, one) == size
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))
    assert common_prefix(text, text[:size] + "x") == size
    assert common_prefix(text, text[7:] + text[:size] + "x", len(text) - 7) == size
