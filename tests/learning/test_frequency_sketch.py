from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.learning.frequency_sketch import MOST, FrequencySketch


def digest(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "little")).digest()


@given(st.lists(st.integers(0, 40), max_size=120))
def test_counts_are_never_too_low_and_seldom_too_high(numbers: list[int]) -> None:
    sketch = FrequencySketch(width=1024)
    for number in numbers:
        sketch.add(digest(number))
    true = Counter(numbers)
    assert all(sketch.count(digest(n)) >= true[n] for n in range(50))
    assert sum(sketch.count(digest(n)) - true[n] for n in range(50)) == 0


def test_counts_stop_at_a_byte_and_are_halved_with_age() -> None:
    sketch = FrequencySketch(width=1024)
    for _ in range(300):
        sketch.add(digest(1))
    assert sketch.count(digest(1)) == MOST
    for number in range(2, 2 + 1024):
        sketch.add(digest(number))
    assert sketch.count(digest(1)) < MOST // 2 + 2
    assert sketch.size == 4 * 1024


def test_a_full_sketch_forgets_what_is_old_and_still_tells_rare_from_frequent() -> None:
    sketch = FrequencySketch(width=4096)
    for number in range(50_000):
        sketch.add(digest(number))
    wrong = sum(sketch.count(digest(n)) >= 2 for n in range(100_000, 101_000))
    assert wrong < 100


@pytest.mark.parametrize("width", [0, 1, 3, 1000])
def test_a_width_is_a_power_of_two(width: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        FrequencySketch(width)
