"""`PageForm`: the shape of one page's payload, and of the frames that it is stored in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

ElementType = Literal["bfloat16", "float16", "float32"]

ELEMENT_BYTES: Mapping[ElementType, int] = MappingProxyType({"bfloat16": 2, "float16": 2, "float32": 4})


@dataclass(frozen=True, slots=True)
class PageForm:
    """A payload is [layers, 2, kv_heads, positions, head_dim] in row-major order: K, then V, of each layer.

    A frame is the K or the V of one layer, [kv_heads, positions, head_dim]; frame ``2 * layer`` is a layer's K.
    """

    layers: int
    kv_heads: int
    head_dim: int
    dtype: ElementType

    @property
    def frames(self) -> int:
        """Frames of a page: two for each layer."""
        return 2 * self.layers

    def frame_bytes(self, positions: int) -> int:
        """Return the plain bytes of one frame of so many positions.

        Example: ``PageForm(30, 3, 64, "bfloat16").frame_bytes(256) == 98304``
        """
        return self.kv_heads * positions * self.head_dim * ELEMENT_BYTES[self.dtype]

    def payload_bytes(self, positions: int) -> int:
        """Return the plain bytes of all frames of so many positions.

        Example: ``PageForm(30, 3, 64, "bfloat16").payload_bytes(256) == 5898240``
        """
        return self.frames * self.frame_bytes(positions)
