"""Codecs beside the product's own: OpenZL's graphs, and zstd and zlib over byte planes. Frames are bytes of numbers."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvproxy.core.page_form import ELEMENT_BYTES, ElementType, PageForm

NOT_MEASURED = ("blosc2", "pcodec", "zipnn")
"""Codecs that no extra of this package installs; figures of them are in the literature."""
_CENTRED: tuple[ElementType, ...] = ("bfloat16",)


@dataclass(frozen=True, slots=True)
class PeerCodec:
    """A codec of one frame: bytes in, bytes out; ``decode`` returns the numbers in memory of the codec's own."""

    name: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], NDArray[Any]]


def baselines(form: PageForm) -> Iterator[PeerCodec]:
    """Yield those that are installed, for frames of 256 positions.

    Example: ``names = [b.name for b in baselines(form)]``
    """
    if find_spec("openzl") is not None:
        yield openzl_graph(form.dtype, "Huffman")
        yield openzl_graph(form.dtype, "Fse")
        if form.dtype in _CENTRED:
            yield centred(openzl_graph(form.dtype, "Huffman"), form)
            yield centred(openzl_graph(form.dtype, "Fse"), form)
        yield _planes("zstd planes, openzl", form.dtype, *_openzl_zstd())
    yield _planes("zlib planes", form.dtype, lambda plane: zlib.compress(plane, 6), zlib.decompress)


def missing() -> list[str]:
    """Return the names of codecs that are not measured here."""
    return [*([] if find_spec("openzl") is not None else ["openzl"]), *NOT_MEASURED]


def openzl_graph(dtype: ElementType, entropy: str) -> PeerCodec:
    """Return OpenZL's ``…Deconstruct`` to Store and ``entropy``: signs and mantissas as they are, exponents coded.

    Example: ``openzl_graph("bfloat16", "Huffman").encode(frame)``
    """
    from openzl import ext

    nodes = {
        "bfloat16": ext.nodes.BFloat16Deconstruct,
        "float16": ext.nodes.Float16Deconstruct,
        "float32": ext.nodes.Float32Deconstruct,
    }
    compressor = ext.Compressor()
    coder = getattr(ext.graphs, entropy)()
    compressor.select_starting_graph(nodes[dtype]()(compressor, ext.graphs.Store(), coder))
    compressor.set_parameter(ext.CParam.FormatVersion, ext.MAX_FORMAT_VERSION)
    kind = np.uint16 if ELEMENT_BYTES[dtype] == 2 else np.uint32

    def encode(frame: bytes) -> bytes:
        context = ext.CCtx()
        context.ref_compressor(compressor)
        coded: bytes = context.compress([ext.Input(ext.Type.Numeric, np.frombuffer(frame, kind))])
        return coded

    def decode(coded: bytes) -> NDArray[Any]:
        (out,) = ext.DCtx().decompress(coded)
        numbers: NDArray[Any] = out.content.as_nparray()
        return numbers

    return PeerCodec(f"openzl {entropy}", encode, decode)


def centred(inner: PeerCodec, form: PageForm) -> PeerCodec:
    """Return ``inner`` behind a subtraction of each channel's median exponent, one byte for each: bfloat16 alone.

    Example: ``centred(openzl_graph("bfloat16", "Fse"), form)``
    """
    shape = (form.kv_heads, 256, form.head_dim)
    channels = form.kv_heads * form.head_dim

    def moved(numbers: NDArray[np.uint16], by: NDArray[np.uint16]) -> NDArray[np.uint16]:
        # Exponents wrap around within their field: nothing else of a number changes.
        return (numbers & np.uint16(0x807F)) | ((numbers + (by << np.uint16(7))) & np.uint16(0x7F80))

    def encode(frame: bytes) -> bytes:
        numbers = np.frombuffer(frame, np.uint16).reshape(shape)
        exponents = numbers >> 7 & 255
        medians: NDArray[np.uint16] = np.median(exponents, axis=1, keepdims=True).astype(np.uint16)
        return medians.astype(np.uint8).tobytes() + inner.encode(moved(numbers, -medians).tobytes())

    def decode(coded: bytes) -> NDArray[np.uint16]:
        medians = np.frombuffer(coded, np.uint8, channels).astype(np.uint16)
        numbers = inner.decode(coded[channels:]).reshape(shape)
        return moved(numbers, medians.reshape(shape[0], 1, shape[2]))

    return PeerCodec(f"{inner.name}, centred", encode, decode)


def _planes(
    name: str, dtype: ElementType, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]
) -> PeerCodec:
    """All first bytes of the numbers, then all second ones: each plane on its own."""
    width = ELEMENT_BYTES[dtype]

    def encode(frame: bytes) -> bytes:
        planes = np.frombuffer(frame, np.uint8).reshape(-1, width).T
        packed = [pack(np.ascontiguousarray(plane).tobytes()) for plane in planes]
        return b"".join(len(p).to_bytes(4, "little") + p for p in packed)

    def decode(coded: bytes) -> NDArray[Any]:
        planes, at = [], 0
        for _ in range(width):
            size = int.from_bytes(coded[at : at + 4], "little")
            planes.append(np.frombuffer(unpack(coded[at + 4 : at + 4 + size]), np.uint8))
            at += 4 + size
        return np.ascontiguousarray(np.stack(planes, axis=1)).reshape(-1)

    return PeerCodec(name, encode, decode)


def _openzl_zstd() -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    from openzl import ext

    compressor = ext.Compressor()
    compressor.select_starting_graph(ext.graphs.Zstd()(compressor))
    compressor.set_parameter(ext.CParam.FormatVersion, ext.MAX_FORMAT_VERSION)

    def pack(plane: bytes) -> bytes:
        context = ext.CCtx()
        context.ref_compressor(compressor)
        coded: bytes = context.compress([ext.Input(ext.Type.Serial, np.frombuffer(plane, np.uint8))])
        return coded

    def unpack(coded: bytes) -> bytes:
        (out,) = ext.DCtx().decompress(coded)
        plain: bytes = out.content.as_bytes()
        return plain

    return pack, unpack
