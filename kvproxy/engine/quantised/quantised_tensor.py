"""`QuantisedTensor`: a weight matrix as blocks of 4 to 8 bits, the way its file holds them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class BlockKind(IntEnum):
    """Layouts of blocks; the numbers are GGUF's, and those of ``kernels/quantised/blocks.h``."""

    Q4_0 = 2
    Q5_0 = 6
    Q8_0 = 8
    Q4_K = 12
    Q5_K = 13
    Q6_K = 14
    Q4_Z = 100
    """kvproxy's own, for GPTQ, AWQ and compressed-tensors: by 32 weights a float16 scale, a byte of zero, a byte
    unused, 16 bytes of 4-bit weights as in Q4_0."""


BLOCKS: dict[BlockKind, tuple[int, int]] = {
    BlockKind.Q4_0: (32, 18),
    BlockKind.Q5_0: (32, 22),
    BlockKind.Q8_0: (32, 34),
    BlockKind.Q4_K: (256, 144),
    BlockKind.Q5_K: (256, 176),
    BlockKind.Q6_K: (256, 210),
    BlockKind.Q4_Z: (32, 20),
}
"""Weights and bytes of a block."""


@dataclass(frozen=True, slots=True)
class QuantisedTensor:
    """A matrix of quantised weights. Its memory may be a read-only map of the file."""

    kind: BlockKind
    width: int
    """Weights of a row (the inputs of a linear layer)."""
    blocks: npt.NDArray[np.uint8]
    """[rows, bytes of a row], contiguous."""

    def __post_init__(self) -> None:
        """Raise ValueError where the bytes are not those of whole blocks."""
        weights, size = BLOCKS[self.kind]
        if self.width % weights or self.blocks.shape[1] != self.width // weights * size:
            raise ValueError(
                f"rows of {self.width} weights in {self.blocks.shape[1]} bytes are not {self.kind.name}"
            )

    @property
    def rows(self) -> int:
        """The outputs of a linear layer."""
        return int(self.blocks.shape[0])

    def reordered(self, order: npt.NDArray[np.int64]) -> QuantisedTensor:
        """Return the rows in that order, copied: rows are whole blocks, so nothing is quantised anew."""
        return QuantisedTensor(self.kind, self.width, np.ascontiguousarray(self.blocks[order]))

    def dequantised(self) -> npt.NDArray[np.float32]:
        """Return float32 [rows, width]."""
        if self.kind is BlockKind.Q4_Z:
            return _dequantise_q4_z(self.blocks).reshape(self.rows, self.width)
        from gguf import GGMLQuantizationType, dequantize

        values = dequantize(self.blocks, GGMLQuantizationType(int(self.kind)))
        return np.asarray(values, dtype=np.float32).reshape(self.rows, self.width)


def _dequantise_q4_z(blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    by_block = blocks.reshape(-1, BLOCKS[BlockKind.Q4_Z][1])
    scale = by_block[:, :2].copy().view(np.float16).astype(np.float32)
    zero = by_block[:, 2:3].astype(np.float32)
    bits = by_block[:, 4:]
    values = np.concatenate((bits & 15, bits >> 4), axis=1).astype(np.float32)
    return np.asarray(scale * (values - zero), dtype=np.float32)


def blocks_q4_z(
    values: npt.NDArray[np.uint8], scales: npt.NDArray[np.float16], zeros: npt.NDArray[np.uint8]
) -> QuantisedTensor:
    """Pack 4-bit weights: ``values`` [rows, width] of 0 to 15, ``scales`` and ``zeros`` [rows, width / 32].

    Example: ``blocks_q4_z(values, scales, zeros).dequantised()``
    """
    rows, width = values.shape
    packed = np.zeros((rows, width // 32, BLOCKS[BlockKind.Q4_Z][1]), dtype=np.uint8)
    packed[:, :, :2] = np.ascontiguousarray(scales)[:, :, None].view(np.uint8)
    packed[:, :, 2] = zeros
    by_block = values.reshape(rows, -1, 32)
    packed[:, :, 4:] = by_block[:, :, :16] | by_block[:, :, 16:] << 4
    return QuantisedTensor(BlockKind.Q4_Z, width, packed.reshape(rows, -1))


def blocks_q8_0(values: npt.NDArray[np.int8], scales: npt.NDArray[np.float16]) -> QuantisedTensor:
    """Pack 8-bit weights: ``values`` [rows, width], ``scales`` [rows, width / 32].

    Example: ``blocks_q8_0(values, scales).dequantised()``
    """
    rows, width = values.shape
    packed = np.zeros((rows, width // 32, BLOCKS[BlockKind.Q8_0][1]), dtype=np.uint8)
    packed[:, :, :2] = np.ascontiguousarray(scales)[:, :, None].view(np.uint8)
    packed[:, :, 2:] = values.reshape(rows, -1, 32).view(np.uint8)
    return QuantisedTensor(BlockKind.Q8_0, width, packed.reshape(rows, -1))
