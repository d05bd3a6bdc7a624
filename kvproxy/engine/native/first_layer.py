"""`FirstLayer`: K and V of layer 0 from token ids, to the bit: what a stored page need not hold."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.native_decoder import DecoderWeights, NativeDecoder
from kvproxy.engine.native.native_layout import NativeLayout
from kvproxy.engine.native.native_tile import lay_out
from kvproxy.engine.tiling.segment import Segment

_MOST_PAGES = 4096
"""Pages of the longest context that a page's place is looked for in: a million positions."""


class FirstLayer:
    """Layer 0 behind its norms and rotary embedding, by the decoder's own functions. Thread-safe, one call at a time.

    Nothing is attended to: embedding, norm, the product of q, k and v, and rotation of one page's rows.
    """

    def __init__(self, kernels: Kernels, weights: DecoderWeights) -> None:
        """Share the weights of a decoder.

        Example: ``FirstLayer(kernels, decoder.weights)``
        """
        self._weights = weights
        self._decoder = NativeDecoder(kernels, replace(weights, layers=weights.layers[:1]))
        shape = replace(weights.shape, layers=1)
        self._pool = PagePool(shape, 2, torch.device("cpu"), NativeLayout(kernels))
        self._page = self._pool.allocate()
        self._lock = threading.Lock()

    def rows(self, token_ids: Sequence[int], start: int) -> bytes:
        """Return K, then V of at most a page of positions from ``start`` on, a multiple of PAGE_TOKENS.

        [2, kv_heads, len(token_ids), head_dim] in the pages' dtype. Raises ValueError for ids outside the vocabulary,
        and for a place where no page begins.

        Example: ``first.rows(token_ids, start=256)``
        """
        count = len(token_ids)
        if start % PAGE_TOKENS or not 0 <= start < _MOST_PAGES * PAGE_TOKENS:
            raise ValueError(f"no page begins at position {start}")
        pages = [self._page] * (start // PAGE_TOKENS + 1)
        sizes = self._weights
        with self._lock:
            tile = lay_out(
                token_ids,
                range(start, start + count),
                [Segment(0, start, count, pages)],
                hidden=sizes.hidden,
                head_dim=sizes.shape.head_dim,
            )
            self._decoder.first_kv(tile, self._pool.kv)
            return self._pool.read(self._page, count)

    def start_of(self, token_id: int, key: bytes) -> int:
        """Return where a page begins whose first token and first key (of head 0) these are.

        The nearest one: a rotation of the key at position 0. Whether it is right shows when :meth:`rows` are compared.

        Example: ``first.start_of(token_ids[0], payload[:128])``
        """
        dim, dtype = self._weights.shape.head_dim, self._weights.shape.dtype
        at_zero = _numbers(self.rows((token_id,), 0)[: len(key)], dtype)
        if not self._weights.layers[0].rotary:
            return 0
        turns = (
            np.arange(_MOST_PAGES)[:, None] * PAGE_TOKENS * self._weights.inverse_frequencies.numpy()[None]
        )
        cosine, sine = np.cos(turns), np.sin(turns)
        first, second = at_zero[: dim // 2], at_zero[dim // 2 :]
        turned = np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=1)
        wanted = np.nan_to_num(_numbers(key, dtype))
        return int(np.abs(turned - wanted).sum(axis=1).argmin()) * PAGE_TOKENS


def _numbers(data: bytes, dtype: torch.dtype) -> np.ndarray:
    numbers: np.ndarray = torch.frombuffer(bytearray(data), dtype=dtype).double().numpy()
    return numbers
