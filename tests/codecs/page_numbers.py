"""Payloads for codecs: numbers of channels with means and spreads of their own, and every kind of special number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kvproxy.core.page_form import ELEMENT_BYTES, PageForm

Bits = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

_FLOAT32 = (
    *(0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x7F800000, 0xFF800000),
    *(0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFA5A5A5, 0x7FFFFFFF, 0xFFFFFFFF, 0x3F800000, 0x7F7FFFFF),
)
_FLOAT16 = (0x0000, 0x8000, 0x0001, 0x83FF, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFDA5, 0xFFFF, 0x7BFF, 0x3C00)
SPECIAL: dict[str, Bits] = {
    "float32": np.array(_FLOAT32, dtype=np.uint32),
    "bfloat16": np.array([x >> 16 for x in _FLOAT32] + [0x7F81, 0x8001], dtype=np.uint16),
    "float16": np.array(_FLOAT16, dtype=np.uint16),
}
"""Both zeros, denormals, infinities, NaNs with payloads, the largest and one, by type."""

KINDS = ("channels", "special", "sprinkled", "equal", "noise")


def payload(form: PageForm, positions: int, kind: str, seed: int) -> memoryview:
    """A page's bytes: numbers as models make them, special ones alone, a few among the others, one number, or noise."""
    source = np.random.default_rng(seed)
    shape = (form.layers, 2, form.kv_heads, positions, form.head_dim)
    special = SPECIAL[form.dtype]
    kept = np.uint16 if ELEMENT_BYTES[form.dtype] == 2 else np.uint32
    if kind == "noise":
        return memoryview(source.bytes(form.payload_bytes(positions)))
    if kind == "equal":
        numbers = np.full(shape, special[seed % len(special)], dtype=kept)
    elif kind == "special":
        numbers = source.choice(special, shape).astype(kept)
    else:
        channel = (form.layers, 2, form.kv_heads, 1, form.head_dim)
        mean, spread = source.normal(0, 2, channel), np.exp(source.normal(-1, 1.5, channel))
        values = (mean + spread * source.normal(0, 1, shape)).astype(np.float32)
        if form.dtype == "float16":
            numbers = values.astype(np.float16).view(np.uint16)
        else:
            numbers = values.view(np.uint32)
            numbers = (numbers >> 16).astype(np.uint16) if form.dtype == "bfloat16" else numbers
        if kind == "sprinkled":
            numbers = np.where(source.random(shape) < 0.02, source.choice(special, shape), numbers)
    return memoryview(np.ascontiguousarray(numbers.astype(kept)).tobytes())
