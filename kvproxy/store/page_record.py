"""The header before a page's payload on disk, and its encoding: pure, no I/O.

::

    offset  bytes  field (little endian)
    0       8      magic
    8       2      format version
    10      2      reserved, 0
    12      4      header length in bytes, a multiple of HEADER_UNIT
    16      32     sha256 of the header without this field
    48      8      payload length in bytes
    56      32     sha256 of the payload
    88      4      token count n
    92      2+2+2  lengths of fingerprint, key, parent key
    98      ...    fingerprint (UTF-8), key, parent key, n token ids (uint32), zeros

Every bit of the file is under one of the two checksums. The record repeats everything that the page key was computed
from, because a hash is confirmed and not trusted: fingerprint, parent and token ids are compared.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

MAGIC = b"KVPXPAGE"
VERSION = 1
HEADER_UNIT = 4096
"""The payload starts at a multiple of this. A page of 256 tokens needs one unit."""
_HEADER_MAX = 2**20

_PREFIX = struct.Struct("<8sHHI32s")
_BODY = struct.Struct("<Q32sIHHH")


@dataclass(frozen=True, slots=True)
class PageRecord:
    """The header of one page. ``parent`` is empty for the first page of a prefix if the engine says so."""

    fingerprint: str
    key: bytes
    parent: bytes
    token_ids: tuple[int, ...]
    payload_bytes: int
    payload_sha256: bytes


@dataclass(frozen=True, slots=True)
class Torn:
    """The bytes are no whole record of this format."""

    reason: str


def encode(record: PageRecord) -> bytes:
    """Return the header, padded to a multiple of HEADER_UNIT.

    Raises ValueError for values that do not fit the format.
    """
    fingerprint = record.fingerprint.encode()
    try:
        body = _BODY.pack(
            record.payload_bytes,
            record.payload_sha256,
            len(record.token_ids),
            len(fingerprint),
            len(record.key),
            len(record.parent),
        )
        body += fingerprint + record.key + record.parent
        body += struct.pack(f"<{len(record.token_ids)}I", *record.token_ids)
    except struct.error as e:
        raise ValueError(f"a page record cannot hold this: {e}") from e
    length = -(-(_PREFIX.size + len(body)) // HEADER_UNIT) * HEADER_UNIT
    if length > _HEADER_MAX:
        raise ValueError(f"a page record of {len(record.token_ids)} tokens is too long")
    body = body.ljust(length - _PREFIX.size, b"\0")
    return _PREFIX.pack(MAGIC, VERSION, 0, length, _checksum(length, body)) + body


def header_length(start: bytes) -> int | Torn:
    """Return the bytes of the whole header, from its first HEADER_UNIT bytes (or all of a shorter file)."""
    if len(start) < HEADER_UNIT:
        return Torn(f"the file ends after {len(start)} bytes, inside the header")
    magic, version, reserved, length, _ = _PREFIX.unpack_from(start)
    if magic != MAGIC:
        return Torn("not a page file")
    if version != VERSION or reserved != 0:
        return Torn(f"page format {version}.{reserved}, this build reads {VERSION}.0")
    if not 0 < length <= _HEADER_MAX or length % HEADER_UNIT:
        return Torn(f"its header says that it has {length} bytes, which no header has")
    return int(length)


def decode(header: bytes) -> PageRecord | Torn:
    """Read back the result of :func:`encode`; ``header`` is exactly as long as :func:`header_length` said."""
    length = header_length(header)
    if isinstance(length, Torn):
        return length
    if len(header) != length:
        return Torn(f"the file ends after {len(header)} bytes, inside the header")
    body = header[_PREFIX.size :]
    if _PREFIX.unpack_from(header)[4] != _checksum(length, body):
        return Torn("the header fails its checksum")
    payload_bytes, payload_sha256, count, *lengths = _BODY.unpack_from(body)
    if _BODY.size + sum(lengths) + 4 * count > len(body):
        return Torn("the header's fields are longer than the header")
    at = _BODY.size
    texts = []
    for size in lengths:
        texts.append(body[at : at + size])
        at += size
    try:
        fingerprint = texts[0].decode()
    except UnicodeDecodeError:
        return Torn("the fingerprint is not text")
    token_ids = struct.unpack_from(f"<{count}I", body, at)
    return PageRecord(fingerprint, texts[1], texts[2], token_ids, payload_bytes, payload_sha256)


def _checksum(length: int, body: bytes) -> bytes:
    return hashlib.sha256(_PREFIX.pack(MAGIC, VERSION, 0, length, b"") + body).digest()
