"""Reading one page's file: all of it verified, nothing copied on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from io import FileIO

from kvproxy.store import page_record
from kvproxy.store.page_record import PageRecord, Torn

Buffer = bytes | bytearray | memoryview

_CHUNK = 2**20
"""Bytes read and hashed at a time: they stay in the CPU's cache, so that the payload crosses memory once."""


def flat(payload: Buffer | Sequence[Buffer]) -> tuple[memoryview, ...]:
    """Return byte views of contiguous buffers of any item type. Raises TypeError for one that is not contiguous."""
    parts = [payload] if isinstance(payload, bytes | bytearray | memoryview) else payload
    return tuple(memoryview(p).cast("B") for p in parts)


def identity(file: FileIO) -> tuple[int, int]:
    """Return a file's inode and time of change.

    They differ from those of a file written later under the same name, even when the inode is used again.
    """
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_mtime_ns


def read_record(file: FileIO) -> PageRecord | Torn:
    """Read the header of a file positioned at its start, and compare the file's length with it."""
    try:
        header = file.read(page_record.HEADER_UNIT) or b""
        length = page_record.header_length(header)
        if isinstance(length, Torn):
            return length
        if length > len(header):
            header += file.read(length - len(header)) or b""
        record = page_record.decode(header)
        size = os.fstat(file.fileno()).st_size
    except OSError as e:
        return Torn(f"it cannot be read: {e.strerror}")
    if isinstance(record, PageRecord) and size != length + record.payload_bytes:
        return Torn(f"the file has {size} bytes, {length + record.payload_bytes} were written")
    return record


def target(record: PageRecord, into: Buffer | None) -> memoryview | Torn:
    """Return the memory to read a payload into: the front of ``into``, or a new buffer; Torn when it is too small."""
    if into is None:
        return memoryview(bytearray(record.payload_bytes))
    (room,) = flat(into)
    if len(room) < record.payload_bytes:
        return Torn(f"a payload of {record.payload_bytes} bytes, at most {len(room)} were expected")
    return room[: record.payload_bytes]


def read_payload(file: FileIO, record: PageRecord, target: memoryview) -> Torn | None:
    """Read the payload into ``target``, which has its length, and compare its checksum; None when it is sound.

    Not mapped: a medium that fails would end the process by SIGBUS instead of rejecting one page.

    Example: ``torn = read_payload(file, record, memoryview(bytearray(record.payload_bytes)))``
    """
    digest = hashlib.sha256()
    done = 0
    try:
        while done < record.payload_bytes:
            got = file.readinto(target[done : done + _CHUNK])
            if not got:
                return Torn(f"the file ends after {done} bytes of payload")
            digest.update(target[done : done + got])
            done += got
    except OSError as e:
        return Torn(f"it cannot be read: {e.strerror}")
    return None if digest.digest() == record.payload_sha256 else Torn("the payload fails its checksum")


def read_whole(file: FileIO) -> PageRecord | Torn:
    """Verify a file and keep only its header."""
    record = read_record(file)
    if isinstance(record, Torn):
        return record
    return read_payload(file, record, memoryview(bytearray(record.payload_bytes))) or record
