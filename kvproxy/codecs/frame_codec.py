"""`FrameCodec`: frames coded by the kernels library, see ``engine/native/kernels/frames/format.h``.

Calls release the GIL, and use no thread but the caller's: pages decode beside each other on as many cores as there are
readers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvproxy.codecs.page_codec import CodecFault
from kvproxy.core.page_form import ELEMENT_BYTES, PageForm
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.signatures import DAMAGED

NAME = "kv-rans-1"


class FrameCodec:
    """A ``PageCodec`` of rANS over signs and exponents, with tables for classes of channels. Thread-safe."""

    name = NAME

    def __init__(self, kernels: Kernels, form: PageForm) -> None:
        """Code pages of ``form``. Raises ValueError for a form that frames cannot have.

        Example: ``FrameCodec(load_kernels(), PageForm(30, 3, 64, "bfloat16"))``
        """
        self._kernels, self._form = kernels, form
        self._most(1)

    def encode(self, payload: memoryview, token_ids: Sequence[int]) -> list[bytes]:
        """See ``PageCodec.encode``.

        Example: ``codec.encode(memoryview(pool.read(page)), token_ids)``
        """
        positions = len(token_ids)
        size = self._form.frame_bytes(positions)
        plain = np.frombuffer(payload, dtype=np.uint8)
        if len(plain) != size * self._form.frames:
            raise ValueError(f"{positions} positions have {size * self._form.frames} bytes, not {len(plain)}")
        coded = np.empty(self._most(positions), dtype=np.uint8)
        frames = []
        for index in range(self._form.frames):
            written = self._kernels.library.kvp_frame_encode(
                *self._shape(positions), _address(plain) + index * size, _address(coded)
            )
            self._kernels.check(written)
            frames.append(coded[:written].tobytes())
        return frames

    def decode(self, frame: memoryview, index: int, token_ids: Sequence[int], into: memoryview) -> None:
        """See ``PageCodec.decode``.

        Example: ``codec.decode(frame, 0, token_ids, memoryview(bytearray(form.frame_bytes(256))))``
        """
        positions = len(token_ids)
        size = self._form.frame_bytes(positions)
        room = np.frombuffer(into, dtype=np.uint8)
        if len(room) != size or into.readonly:
            raise ValueError(f"frame {index} has {size} bytes, and room for {len(room)} was given")
        coded = np.frombuffer(frame, dtype=np.uint8)
        failed = self._kernels.library.kvp_frame_decode(
            *self._shape(positions), _address(coded), len(coded), _address(room)
        )
        if failed == DAMAGED:
            raise CodecFault(self._kernels.library.kvp_last_error().decode(errors="replace"))
        self._kernels.check(failed)

    def _shape(self, positions: int) -> tuple[int, int, int, int]:
        form = self._form
        return form.kv_heads, positions, form.head_dim, ELEMENT_BYTES[form.dtype]

    def _most(self, positions: int) -> int:
        most: int = self._kernels.library.kvp_frame_most(*self._shape(positions))
        self._kernels.check(most)
        return most


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
