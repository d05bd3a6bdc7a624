"""Sizes are of the prompt's own positions, and int8 is as near as it can be."""

from __future__ import annotations

import numpy as np
import pytest

from kvproxy.bench.engine.driver import KVPage
from kvproxy.bench.kv_size import Layout, int8_bytes, int8_round_trip, lossless_ratio

LAYOUT = Layout(layers=2, kv_heads=3, head_dim=8, item_bytes=2)
SHAPE = (2, 2, 3, 256, 8)


def page(values: np.ndarray, used: int = 256) -> KVPage:
    """bfloat16 by cutting float32 off."""
    return KVPage(1, used, (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes())


def values(page: KVPage) -> np.ndarray:
    bits = np.frombuffer(page.payload, dtype=np.uint16).astype(np.uint32) << 16
    return bits.view(np.float32).reshape(SHAPE)


def normal(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def test_what_is_not_the_prompts_does_not_count() -> None:
    assert LAYOUT.used(page(normal(), used=10)).shape == (2, 2, 3, 10, 8)
    numbers = 2 * 2 * 3 * 10 * 8
    assert int8_bytes([page(normal(), used=10)], LAYOUT) == numbers + 2 * 2 * 3 * 4


def test_exponents_compress_and_equal_numbers_nearly_vanish() -> None:
    assert 0.5 < lossless_ratio([page(normal())], LAYOUT) < 0.9
    assert lossless_ratio([page(np.ones(SHAPE))], LAYOUT) < 0.01


def test_no_more_pages_are_compressed_than_asked_for() -> None:
    easy, hard = page(np.ones(SHAPE)), page(normal())
    assert lossless_ratio([easy, hard], LAYOUT, most_bytes=1) < 0.01
    assert lossless_ratio([easy, hard], LAYOUT) > 0.2


def test_int8_is_half_a_step_from_what_it_was_at_most() -> None:
    before = page(normal(), used=200)
    after = int8_round_trip(before, LAYOUT)
    old, new = values(before), values(after)
    step = np.abs(old[..., :200, :]).max(axis=(-2, -1), keepdims=True) / 127
    # And half a step of bfloat16, to which the result is rounded.
    assert (np.abs(new - old)[..., :200, :] <= step / 2 + np.abs(old[..., :200, :]) * 2**-8 + 1e-6).all()
    assert (new[..., 200:, :] == old[..., 200:, :]).all()
    assert not np.array_equal(old, new)


def test_zeros_stay_zeros() -> None:
    assert not values(int8_round_trip(page(np.zeros(SHAPE)), LAYOUT)).any()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_int8_is_as_good_at_every_scale(scale: float) -> None:
    before = page(normal() * scale)
    old, new = values(before), values(int8_round_trip(before, LAYOUT))
    assert np.sqrt(((new - old) ** 2).mean()) / scale < 0.02


def test_float32_is_read_as_float32() -> None:
    layout = Layout(layers=2, kv_heads=3, head_dim=8, item_bytes=4)
    numbers = normal().astype(np.float32)
    before = KVPage(1, 256, numbers.tobytes())
    after = np.frombuffer(int8_round_trip(before, layout).payload, dtype=np.float32).reshape(SHAPE)
    assert np.abs(after - numbers).max() < 0.03
    assert int8_bytes([before], layout) * 3 < numbers.nbytes
