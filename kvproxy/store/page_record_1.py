"""Headers of page files in format 1, which earlier releases wrote: read, and never written.

::

    offset  bytes  field (little endian)
    16      32     sha256 of the header without this field
    48      8      payload length in bytes
    56      32     sha256 of the payload
    88      4      token count n
    92      2+2+2  lengths of fingerprint, key, parent key
    98      ...    fingerprint (UTF-8), key, parent key, n token ids (uint32), zeros
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

VERSION = 1
HEADER_PREFIX = struct.Struct("<8sHHI32s")
"""Magic, version, 0, header length, checksum: the beginning of a header of any format."""
_BODY = struct.Struct("<Q32sIHHH")


@dataclass(frozen=True, slots=True)
class Torn:
    """The bytes are no whole record of this format."""

    reason: str


@dataclass(frozen=True, slots=True)
class OldRecord:
    """The header of a page in format 1."""

    fingerprint: str
    key: bytes
    parent: bytes
    token_ids: tuple[int, ...]
    payload_bytes: int
    payload_sha256: bytes


def digest(payload: bytes | bytearray | memoryview) -> bytes:
    """Return the digest that format 1 has of a page's payload."""
    return hashlib.sha256(payload).digest()


def decode(prefix: bytes, body: bytes) -> OldRecord | Torn:
    """Read the rest of a header behind its prefix.

    Example: ``decode(header[: HEADER_PREFIX.size], header[HEADER_PREFIX.size :])``
    """
    magic, version, reserved, length, checksum = HEADER_PREFIX.unpack(prefix)
    unsigned = HEADER_PREFIX.pack(magic, version, reserved, length, b"")
    if checksum != hashlib.sha256(unsigned + body).digest():
        return Torn("the header fails its checksum")
    payload_bytes, payload_sha256, count, *lengths = _BODY.unpack_from(body)
    if _BODY.size + sum(lengths) + 4 * count > len(body):
        return Torn("the header's fields are longer than the header")
    at, texts = _BODY.size, []
    for size in lengths:
        texts.append(body[at : at + size])
        at += size
    try:
        fingerprint = texts[0].decode()
    except UnicodeDecodeError:
        return Torn("the fingerprint is not text")
    token_ids = struct.unpack_from(f"<{count}I", body, at)
    return OldRecord(fingerprint, texts[1], texts[2], token_ids, payload_bytes, payload_sha256)
