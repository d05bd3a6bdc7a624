"""`FirstLayerCodec`: pages without layer 0, whose K and V the engine computes again from the token ids."""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from kvproxy.codecs.frame_codec import FrameCodec
from kvproxy.codecs.page_codec import CodecFault
from kvproxy.core.page_form import ELEMENT_BYTES, PageForm
from kvproxy.engine.native.kernel_library import Kernels

NAME = "kv-rans-1+layer0"

_LEFT_OUT = struct.Struct("<BI16s")
"""A frame that stands for a computed one: 2, which no coded frame begins with, the page's first position, and a digest
of layer 0's bytes."""
_MARK = 2


class FirstLayerRows(Protocol):
    """Protocol of an engine whose layer 0 has the same bits whenever it is computed. Called from any thread."""

    def rows(self, token_ids: Sequence[int], start: int) -> bytes:
        """Return K, then V of layer 0: [2, kv_heads, len(token_ids), head_dim].

        Example: ``engine.rows(token_ids, start=256)``
        """

    def start_of(self, token_id: int, key: bytes) -> int:
        """Return the most likely first position of a page with this first token and first key."""


class FirstLayerCodec:
    """A ``PageCodec``: ``FrameCodec`` for the layers behind the first one. Thread-safe.

    Layer 0 is left out only where computing it again gave every bit of it; else its frames are coded as the others.
    """

    name = NAME

    def __init__(self, kernels: Kernels, form: PageForm, engine: FirstLayerRows) -> None:
        """Code pages of ``form`` that ``engine`` computes. Raises ValueError for a form of one layer.

        Example: ``FirstLayerCodec(load_kernels(), form, model.first_layer())``
        """
        if form.layers < 2:
            raise ValueError("a page of one layer without it is nothing to store")
        self._form, self._engine = form, engine
        self._whole = FrameCodec(kernels, form)
        self._rest = FrameCodec(kernels, replace(form, layers=form.layers - 1))
        self._own = threading.local()

    def encode(self, payload: memoryview, token_ids: Sequence[int]) -> list[bytes]:
        """See ``PageCodec.encode``.

        Example: ``codec.encode(memoryview(pool.read(page)), token_ids)``
        """
        size = 2 * self._form.frame_bytes(len(token_ids))
        first = payload[:size]
        start = self._engine.start_of(token_ids[0], bytes(first[: self._key_bytes]))
        if self._engine.rows(token_ids, start) != first:
            return self._whole.encode(payload, token_ids)
        left_out = _LEFT_OUT.pack(_MARK, start, _digest(first))
        return [left_out, left_out, *self._rest.encode(payload[size:], token_ids)]

    def decode(self, frame: memoryview, index: int, token_ids: Sequence[int], into: memoryview) -> None:
        """See ``PageCodec.decode``.

        Example: ``codec.decode(frame, 0, token_ids, memoryview(bytearray(form.frame_bytes(256))))``
        """
        if index > 1 or len(frame) != _LEFT_OUT.size or frame[0] != _MARK:
            self._whole.decode(frame, index, token_ids, into)
            return
        size = self._form.frame_bytes(len(token_ids))
        if len(into) != size:
            raise ValueError(f"frame {index} has {size} bytes, and room for {len(into)} was given")
        into[:] = self._computed(bytes(frame), tuple(token_ids))[index * size : (index + 1) * size]

    @property
    def _key_bytes(self) -> int:
        return self._form.head_dim * ELEMENT_BYTES[self._form.dtype]

    def _computed(self, frame: bytes, token_ids: tuple[int, ...]) -> memoryview:
        """Return layer 0 of a page. A thread reads its K, then its V: both are of one computation."""
        asked = (frame, token_ids)
        kept: tuple[object, memoryview] | None = getattr(self._own, "computed", None)
        if kept is not None and kept[0] == asked:
            return kept[1]
        _, start, digest = _LEFT_OUT.unpack(frame)
        try:
            rows = memoryview(self._engine.rows(token_ids, start))
        except ValueError as e:
            raise CodecFault(f"layer 0 cannot be computed: {e}") from e
        if _digest(rows) != digest:
            raise CodecFault("layer 0 was computed with other bits")
        self._own.computed = (asked, rows)
        return rows


def _digest(rows: memoryview) -> bytes:
    return hashlib.blake2b(rows, digest_size=16).digest()
