"""Bodies that come packed: ``Content-Encoding`` undone, within the limit, and off the event loop."""

from __future__ import annotations

import asyncio
import zlib

from kvproxy.errors import UnreadableBody, UnsupportedEncoding

_GZIP = zlib.MAX_WBITS | 16
_PIECE = 2**18
_MOST_MEMBERS = 1024
"""Of one gzip body. Looking at each costs up to a piece, whatever is in it."""


class TooMuch(Exception):
    """The packed content is larger than the limit."""


async def unpacked(raw: bytes, encoding: str, limit: int) -> bytes:
    """``encoding`` is the header as it came. Raises UnsupportedEncoding, UnreadableBody, TooMuch."""
    name = encoding.strip().lower()
    if name in ("", "identity") or not raw:
        return raw
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedEncoding(
            "This Content-Encoding is not read here. Send the body as it is, or as gzip."
        )
    return await asyncio.to_thread(_unpack, raw, name, limit)


def _unpack(raw: bytes, name: str, limit: int) -> bytes:
    try:
        if name != "deflate":
            return _members(raw, limit)
        # The standard means zlib's format by it, some clients the bare one.
        bare = (raw[0] & 0x0F) != 8 or (raw[0] * 256 + (raw[1] if len(raw) > 1 else 0)) % 31
        return _members(raw, limit, -zlib.MAX_WBITS if bare else zlib.MAX_WBITS)
    except zlib.error as e:
        raise UnreadableBody("The body is not packed as its Content-Encoding says.") from e


def _members(raw: bytes, limit: int, bits: int = _GZIP) -> bytes:
    """gzip may be several packings in a row; each must be whole."""
    out: list[bytes] = []
    size, at, members = 0, 0, 0
    while at < len(raw):
        members += 1
        if members > _MOST_MEMBERS:
            raise UnreadableBody("The body is packed in too many pieces.")
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
                raise UnreadableBody("The packed body breaks off before its end.")
        if bits != _GZIP and at < len(raw):
            raise UnreadableBody("Something follows the packed body.")
    return b"".join(out)
