"""Decompress bodies with a ``Content-Encoding``, within the size limit and off the event loop."""

from __future__ import annotations

import asyncio
import zlib

from kvproxy.errors import UnreadableBody, UnsupportedEncoding

_GZIP = zlib.MAX_WBITS | 16
_PIECE = 2**18
_MOST_MEMBERS = 1024
"""Members of one gzip body. Each costs up to a piece's decompression, however small it is."""


class TooMuch(Exception):
    """The decompressed content is larger than the limit."""


async def unpacked(raw: bytes, encoding: str, limit: int) -> bytes:
    """Decompress a body. ``encoding`` is the header's value, ``limit`` in bytes of the result.

    Raises UnsupportedEncoding, UnreadableBody, TooMuch. Example: ``body = await unpacked(raw, "gzip", 2**20)``
    """
    name = encoding.strip().lower()
    if name in ("", "identity") or not raw:
        return raw
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedEncoding(
            "This Content-Encoding is not supported. Send the body without one, or as gzip or deflate."
        )
    return await asyncio.to_thread(_unpack, raw, name, limit)


def _unpack(raw: bytes, name: str, limit: int) -> bytes:
    try:
        if name != "deflate":
            return _members(raw, limit)
        # By the standard deflate is zlib's format; some clients send the bare one.
        bare = (raw[0] & 0x0F) != 8 or (raw[0] * 256 + (raw[1] if len(raw) > 1 else 0)) % 31
        return _members(raw, limit, -zlib.MAX_WBITS if bare else zlib.MAX_WBITS)
    except zlib.error as e:
        raise UnreadableBody(
            "The body is not compressed as its Content-Encoding says. Correct the header or the body."
        ) from e


def _members(raw: bytes, limit: int, bits: int = _GZIP) -> bytes:
    """Decompress the members of a body one after another; each must be complete."""
    out: list[bytes] = []
    size, at, members = 0, 0, 0
    while at < len(raw):
        members += 1
        if members > _MOST_MEMBERS:
            raise UnreadableBody(
                f"The gzip body has too many members (more than {_MOST_MEMBERS}). Compress it as a whole."
            )
        unpacker = zlib.decompressobj(bits)
        feed = memoryview(raw)[at : at + _PIECE]
        while True:
            piece = unpacker.decompress(feed, limit - size + 1)
            size += len(piece)
            if size > limit:
                raise TooMuch
            out.append(piece)
            at += len(feed) - len(unpacker.unconsumed_tail) - len(unpacker.unused_data)
            if unpacker.eof:
                break
            feed = memoryview(raw)[at : at + _PIECE]
            if not feed:
                raise UnreadableBody("The compressed body breaks off before its end. Send all of it.")
        if bits != _GZIP and at < len(raw):
            raise UnreadableBody("The compressed body is followed by further bytes. Send it alone.")
    return b"".join(out)
