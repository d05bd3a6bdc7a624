from __future__ import annotations

import ctypes

import numpy as np
import pytest

from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.signatures import BlockRows
from kvproxy.engine.quantised.quantised_tensor import BlockKind, QuantisedTensor, blocks_q4_z, blocks_q8_0
from tests.engine.quantised.make_blocks import quantise_q4_k, random_blocks


def kernels() -> Kernels:
    found = load_kernels()
    assert isinstance(found, Kernels)
    return found


@pytest.mark.parametrize("kind", BlockKind)
def test_the_kernels_read_what_the_reference_reads(kind: BlockKind) -> None:
    blocks = random_blocks(kind, 5, 512)
    own = np.empty((5, 512), dtype=np.float32)
    rows = BlockRows(blocks.blocks.ctypes.data, 5, blocks.blocks.shape[1], int(kind))
    library = kernels().library
    kernels().check(library.kvp_read_quantised(ctypes.byref(rows), 512, own.ctypes.data, 1))
    # Products of factors may be rounded in another order than gguf's, by a unit in the last place.
    np.testing.assert_allclose(own, blocks.dequantised(), rtol=3e-7, atol=1e-7)
    assert np.abs(own).max() > 0.05


def test_rows_keep_their_blocks_in_another_order() -> None:
    blocks = random_blocks(BlockKind.Q6_K, 6, 256)
    order = np.array([5, 0, 3])
    assert np.array_equal(blocks.reordered(order).dequantised(), blocks.dequantised()[order])


def test_blocks_of_groups_give_back_their_values() -> None:
    generator = np.random.default_rng(1)
    values = generator.integers(0, 16, (3, 64), dtype=np.uint8)
    scales, zeros = np.full((3, 2), 0.5, np.float16), np.array([[8, 7]] * 3, np.uint8)
    plain = 0.5 * (values.astype(np.float32) - np.repeat(zeros, 32, axis=1))
    assert np.array_equal(blocks_q4_z(values, scales, zeros).dequantised(), plain)
    signed = generator.integers(-128, 128, (3, 64)).astype(np.int8)
    assert np.array_equal(blocks_q8_0(signed, scales).dequantised(), signed * np.float32(0.5))


def test_a_plain_quantiser_of_q4_k_is_near() -> None:
    values = np.random.default_rng(2).standard_normal((4, 512)).astype(np.float32)
    error = quantise_q4_k(values).dequantised() - values
    assert error.std() < 0.08


def test_bytes_that_are_no_whole_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="are not Q8_0"):
        QuantisedTensor(BlockKind.Q8_0, 64, np.zeros((2, 67), np.uint8))
    with pytest.raises(ValueError, match="are not Q4_K"):
        QuantisedTensor(BlockKind.Q4_K, 288, np.zeros((2, 162), np.uint8))
