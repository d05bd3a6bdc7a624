"""The header before a page's frames on disk, and its encoding: pure, no I/O.

Format 2::

    offset  bytes    field (little endian)
    0       8        magic
    8       2        format version
    10      2        reserved, 0
    12      4        header length in bytes, a multiple of HEADER_UNIT
    16      32       BLAKE3 of the header without this field
    48      2        flags: 1 = the frames and the token ids are sealed
    50      2        frame count f
    52      4        token count n
    56      2+2+2+2  lengths of fingerprint, key, parent key, codec name
    64      ...      fingerprint (UTF-8), key, parent key, codec name (ASCII), n token ids (uint32), f frame lengths
                     (uint32), f frame digests (BLAKE3 of the stored bytes, 32 each), zeros; of a sealed page, in the
                     place of the n token ids: the length (uint32) of the sealed ids, and these

A frame holds K or V of one layer, K before V and layers in order; frames follow the header without gaps. Every bit of
the file is under the header's checksum or a frame's. The record repeats everything that the page key was computed
from, because a hash is confirmed and not trusted: fingerprint, parent and token ids are compared.

Format 1 had one frame under sha256. It is not read: no engine of its time has a fingerprint of today.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from blake3 import blake3

MAGIC = b"KVPXPAGE"
VERSION = 2
HEADER_UNIT = 4096
"""The frames start at a multiple of this. A page of 256 tokens and 30 layers needs one unit."""
DIGEST_BYTES = 32
_HEADER_MAX = 2**20
_SEALED = 1

_PREFIX = struct.Struct("<8sHHI32s")
_BODY = struct.Struct("<HHIHHHH")


@dataclass(frozen=True, slots=True)
class Torn:
    """The bytes are no whole record of this format."""

    reason: str


@dataclass(frozen=True, slots=True)
class PageRecord:
    """The header of one page. ``parent`` is empty for the first page of a prefix if the engine says so."""

    fingerprint: str
    key: bytes
    parent: bytes
    token_ids: tuple[int, ...]
    frames: tuple[int, ...]
    """Bytes of each stored frame."""
    digests: tuple[bytes, ...]
    """Digest of each stored frame, as :func:`frame_digest` gives it."""
    codec: str = ""
    """Name of the codec that the frames were encoded with; empty: plain numbers."""
    sealed: bool = False
    """Whether the frames are encrypted."""
    sealed_ids: bytes = b""
    """Of a sealed page, the n token ids (uint32) as its cipher sealed them: they are the text. ``token_ids`` is empty
    then, and ``positions`` is their number."""
    sealed_positions: int = 0

    @property
    def positions(self) -> int:
        """Positions that the page holds."""
        return self.sealed_positions if self.sealed else len(self.token_ids)

    @property
    def payload_bytes(self) -> int:
        """Bytes of all frames as they are stored."""
        return sum(self.frames)

    @property
    def digest(self) -> bytes:
        """The page's digest, as manifests name it: BLAKE3 over the frames' digests in order."""
        return blake3(b"".join(self.digests)).digest()


def same_page(old: PageRecord | Torn, new: PageRecord) -> bool:
    """Return whether a sound file need not be written again. Encryption gives a page other bytes each time.

    Example: ``same_page(page_file.read_whole(file), record)``
    """
    if isinstance(old, PageRecord) and old.sealed and new.sealed:
        new = replace(new, frames=old.frames, digests=old.digests, sealed_ids=old.sealed_ids)
    return old == new


def frame_digest(frame: bytes | bytearray | memoryview) -> bytes:
    """Return the digest of a frame's stored bytes."""
    return blake3(frame).digest()


def encode(record: PageRecord) -> bytes:
    """Return the header in format 2, padded to a multiple of HEADER_UNIT.

    Raises ValueError for values that do not fit the format.
    """
    texts = (record.fingerprint.encode(), record.key, record.parent, record.codec.encode("ascii"))
    frames, count = record.frames, record.positions
    if len(record.digests) != len(frames) or any(len(d) != DIGEST_BYTES for d in record.digests):
        raise ValueError(
            f"a page record of {len(frames)} frames needs as many digests of {DIGEST_BYTES} bytes"
        )
    try:
        body = _BODY.pack(_SEALED if record.sealed else 0, len(frames), count, *map(len, texts))
        body += b"".join(texts)
        if record.sealed:
            body += struct.pack("<I", len(record.sealed_ids)) + record.sealed_ids
        else:
            body += pack_ids(record.token_ids)
        body += struct.pack(f"<{len(frames)}I", *frames)
    except struct.error as e:
        raise ValueError(f"a page record cannot hold this: {e}") from e
    body += b"".join(record.digests)
    length = -(-(_PREFIX.size + len(body)) // HEADER_UNIT) * HEADER_UNIT
    if length > _HEADER_MAX:
        raise ValueError(f"a page record of {count} tokens is too long")
    body = body.ljust(length - _PREFIX.size, b"\0")
    return _PREFIX.pack(MAGIC, VERSION, 0, length, _checksum(length, body)) + body


def pack_ids(token_ids: Sequence[int]) -> bytes:
    """Return token ids as a header has them. Raises struct.error for ids outside uint32."""
    return struct.pack(f"<{len(token_ids)}I", *token_ids)


def unpack_ids(packed: bytes) -> tuple[int, ...]:
    """Return the ids of :func:`pack_ids`."""
    return struct.unpack(f"<{len(packed) // 4}I", packed)


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
    return _decoded(body)


def _decoded(body: bytes) -> PageRecord | Torn:
    flags, frames, count, *lengths = _BODY.unpack_from(body)
    if flags & ~_SEALED:
        return Torn(f"it has flags {flags:x}, of a later build")
    ids_at, sealed = _BODY.size + sum(lengths), bool(flags & _SEALED)
    ids_bytes = 4 * count
    if sealed and ids_at + 4 <= len(body):
        ids_bytes = struct.unpack_from("<I", body, ids_at)[0]
        ids_at += 4
    if ids_at + ids_bytes + (4 + DIGEST_BYTES) * frames > len(body):
        return Torn("the header's fields are longer than the header")
    at, texts = _BODY.size, []
    for size in lengths:
        texts.append(body[at : at + size])
        at += size
    try:
        fingerprint, codec = texts[0].decode(), texts[3].decode("ascii")
    except UnicodeDecodeError:
        return Torn("the fingerprint or the codec's name is not text")
    ids = body[ids_at : ids_at + ids_bytes]
    at = ids_at + ids_bytes
    sizes = struct.unpack_from(f"<{frames}I", body, at)
    at += 4 * frames
    digests = tuple(body[i : i + DIGEST_BYTES] for i in range(at, at + DIGEST_BYTES * frames, DIGEST_BYTES))
    record = PageRecord(fingerprint, texts[1], texts[2], (), sizes, digests, codec, sealed)
    if sealed:
        return replace(record, sealed_ids=ids, sealed_positions=count)
    return replace(record, token_ids=unpack_ids(ids))


def _checksum(length: int, body: bytes) -> bytes:
    return blake3(_PREFIX.pack(MAGIC, VERSION, 0, length, b"") + body).digest()
