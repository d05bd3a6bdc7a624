"""Rows from the leaf pages of SQLite tables, even where the pages above them are damaged: pure, no I/O.

SQLite finds rows from the root down, so one damaged page above hides all below it. Here every page is read by itself.
Nothing found is known to be right, nor to which table it belonged: rows need a digest of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kvproxy.store.sqlite.sqlite_pages import Image

Value = None | int | float | str | bytes

_HEADER = 100
"""Bytes of the database header, in front of the first page's own."""
_TABLE_LEAF = 13
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class _Unreadable(Exception):
    """No cell or record stands here."""


def table_rows(image: Image) -> Iterator[tuple[Value, ...]]:
    """Yield the rows of all table leaves but those on the list of free pages. Text that is no UTF-8 comes as bytes."""
    free = _free_pages(image)
    for number, page in enumerate(image.pages, 1):
        if number not in free:
            yield from _leaf_rows(image, page, _HEADER if number == 1 else 0)
    for page in image.extra:
        yield from _leaf_rows(image, page, 0)


def _leaf_rows(image: Image, page: bytes, at: int) -> Iterator[tuple[Value, ...]]:
    if page[at] != _TABLE_LEAF:
        return
    count = min(int.from_bytes(page[at + 3 : at + 5], "big"), (len(page) - at - 8) // 2)
    for i in range(count):
        cell = int.from_bytes(page[at + 8 + 2 * i : at + 10 + 2 * i], "big")
        try:
            yield _record(_payload(image, page, cell))
        except (_Unreadable, IndexError, struct.error):
            continue


def _payload(image: Image, page: bytes, at: int) -> bytes:
    """Return the payload of a cell, its overflow pages included."""
    length, at = _varint(page, at)
    _, at = _varint(page, at)
    usable = image.page_size
    if length <= usable - 35:
        if at + length > usable:
            raise _Unreadable
        return page[at : at + length]
    if length > usable * len(image.pages):
        raise _Unreadable
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    local = local if local <= usable - 35 else least
    parts, size = [page[at : at + local]], local
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    while size < length:
        if not 0 < following <= len(image.pages):
            raise _Unreadable
        overflow = image.pages[following - 1]
        parts.append(overflow[4 : 4 + min(length - size, usable - 4)])
        size += len(parts[-1])
        following = int.from_bytes(overflow[:4], "big")
    return b"".join(parts)


def _record(payload: bytes) -> tuple[Value, ...]:
    length, at = _varint(payload, 0)
    types: list[int] = []
    while at < length:
        kind, at = _varint(payload, at)
        types.append(kind)
    values: list[Value] = []
    at = length
    for kind in types:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise _Unreadable
    return tuple(values)


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return (None if kind == 0 else kind - 8), at
    if kind in (10, 11):
        raise _Unreadable
    size = _INTEGERS.get(kind, 8 if kind == 7 else (kind - 12) // 2)
    raw = payload[at : at + size]
    if len(raw) != size:
        raise _Unreadable
    if kind < 7:
        return int.from_bytes(raw, "big", signed=True), at + size
    if kind == 7:
        return float(struct.unpack(">d", raw)[0]), at + size
    if kind % 2 == 0:
        return raw, at + size
    try:
        return raw.decode(), at + size
    except UnicodeDecodeError:
        return raw, at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        byte = data[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    return value << 8 | data[at + 8], at + 9


def _free_pages(image: Image) -> frozenset[int]:
    """Return the pages that hold nothing any more: their rows were deleted.

    None where their list is not as long as the header says: a damaged one would hide pages in use.
    """
    free: set[int] = set()
    trunk = int.from_bytes(image.pages[0][32:36], "big") if image.pages else 0
    while 0 < trunk <= len(image.pages) and trunk not in free:
        page = image.pages[trunk - 1]
        count = min(int.from_bytes(page[4:8], "big"), image.page_size // 4 - 2)
        free.add(trunk)
        free.update(struct.unpack_from(f">{count}I", page, 8))
        trunk = int.from_bytes(page[:4], "big")
    whole = bool(image.pages) and len(free) == int.from_bytes(image.pages[0][36:40], "big")
    return frozenset(free) if whole else frozenset()
