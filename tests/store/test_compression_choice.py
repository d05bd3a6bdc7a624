from __future__ import annotations

import time

from kvproxy.store.compression_choice import DECODE, RATIO, CompressionChoice, worth_compressing


def test_pages_are_compressed_where_room_is_scarce_or_reading_slow() -> None:
    assert not worth_compressing(used=0, max_size=100, read_speed=None)
    assert not worth_compressing(used=80, max_size=100, read_speed=2e9)
    assert worth_compressing(used=81, max_size=100, read_speed=2e9)
    assert worth_compressing(used=0, max_size=100, read_speed=1e8)


def test_the_limit_is_where_both_ways_take_as_long() -> None:
    speed = DECODE * (1 - 1 / RATIO)
    assert abs(1 / speed - (1 / (RATIO * speed) + 1 / DECODE)) < 1e-15
    assert worth_compressing(used=0, max_size=100, read_speed=speed * 0.99)
    assert not worth_compressing(used=0, max_size=100, read_speed=speed * 1.01)


def test_one_slow_read_among_fast_ones_changes_nothing() -> None:
    choice = CompressionChoice(always=False)
    assert not choice.wanted(0, 100) and CompressionChoice(always=True).wanted(0, 100)
    choice.note_read(1, time.perf_counter() - 10)
    assert choice.wanted(0, 100)
    choice.note_read(10**12, time.perf_counter() - 0.1)
    assert not choice.wanted(0, 100)
