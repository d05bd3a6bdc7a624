"""The pages of an SQLite database as its file and its write-ahead log hold them, read without SQLite.

Pure but for :func:`read_wal` and :func:`read_image`, which read whole files. SQLite itself takes a log up to the first
frame that fails its checksum, and says nothing of the rest: one flipped bit undoes every later commit. A frame's
checksum goes on from the one stored in the frame before it, so each can be verified alone, and damage in the middle be
distinguished from a transaction that a power cut left unfinished at the end. Formats:
https://www.sqlite.org/fileformat2.html and https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEFAULT_PAGE_SIZE = 4096
_SIZES = frozenset(2**n for n in range(9, 17))
_WAL_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_MAGIC: dict[int, Literal["<", ">"]] = {0x377F0682: "<", 0x377F0683: ">"}
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Frame:
    """One page in a write-ahead log."""

    page: int
    commit: bool
    """Whether it ends a transaction."""
    sound: bool
    """Whether its checksum holds."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Wal:
    """The frames of a write-ahead log, up to the last commit that can be verified."""

    page_size: int
    frames: tuple[Frame, ...]
    fault: str | None
    """The damage in words; None for a log that is sound up to its writer's end."""
    hides_commits: bool
    """Whether SQLite would not see all of ``frames``."""


@dataclass(frozen=True, slots=True)
class Image:
    """The pages of a database, numbered from 1.

    ``extra`` are those of damaged frames that nothing newer replaced: their content may be sound, their number may not.
    """

    page_size: int
    pages: tuple[bytes, ...]
    extra: tuple[bytes, ...] = ()


def read_wal(path: Path) -> Wal:
    """Read the write-ahead log of the database file ``path``; without frames when there is none."""
    try:
        data = path.with_name(f"{path.name}-wal").read_bytes()
    except FileNotFoundError:
        data = b""
    return parse_wal(data)


def parse_wal(data: bytes) -> Wal:
    """Verify each frame of a write-ahead log."""
    if not data:
        return Wal(DEFAULT_PAGE_SIZE, (), None, False)
    if len(data) < _WAL_HEADER.size:
        return Wal(DEFAULT_PAGE_SIZE, (), f"the write-ahead log ends after {len(data)} bytes", False)
    magic, _, page_size, _, salt1, salt2, *stored = _WAL_HEADER.unpack_from(data)
    order = _MAGIC.get(magic, "<")
    sums = (stored[0], stored[1])
    sound_header = magic in _MAGIC and _checksum((0, 0), data[:24], order) == sums
    if page_size not in _SIZES:
        page_size = DEFAULT_PAGE_SIZE
    salts = (salt1, salt2)
    step = _FRAME_HEADER.size + page_size
    if not sound_header:
        # Take the salts of the first frame that is not all zeros: frames of an earlier log may follow it.
        heads = (
            _FRAME_HEADER.unpack_from(data, at) for at in range(_WAL_HEADER.size, len(data) - step + 1, step)
        )
        salts = next((head[2:4] for head in heads if any(head)), salts)
    frames, torn = _read_frames(data, page_size, salts, sums, order)
    last = max((i for i, f in enumerate(frames) if f.commit and f.sound), default=-1)
    bad = next((i for i, f in enumerate(frames[: last + 1]) if not f.sound), None)
    kept = tuple(frames[: last + 1])
    if not sound_header:
        # The first frame's checksum starts from the header's, and was compared with a damaged one.
        return Wal(page_size, kept, "the header of the write-ahead log is damaged", bool(kept))
    if bad is not None:
        return Wal(page_size, kept, f"frame {bad + 1} of the write-ahead log fails its checksum", True)
    return Wal(page_size, kept, "the end of the write-ahead log fails its checksum" if torn else None, False)


def _read_frames(
    data: bytes, page_size: int, salts: tuple[int, int], sums: tuple[int, int], order: Literal["<", ">"]
) -> tuple[list[Frame], bool]:
    """Return all frames, and whether one of this log's own is torn. sums: the header's checksum."""
    step = _FRAME_HEADER.size + page_size
    frames: list[Frame] = []
    torn = False
    for at in range(_WAL_HEADER.size, len(data), step):
        head = data[at : at + _FRAME_HEADER.size]
        if len(data) < at + step:
            torn |= len(head) == _FRAME_HEADER.size and _FRAME_HEADER.unpack(head)[2:4] == salts
            break
        page, size, *rest = _FRAME_HEADER.unpack(head)
        body = data[at + _FRAME_HEADER.size : at + step]
        expected = _checksum(_checksum(sums, head[:8], order), body, order)
        sums = (rest[2], rest[3])
        ours = (rest[0], rest[1]) == salts
        sound = ours and expected == sums
        torn |= (ours and not sound) or not any(head)  # SQLite leaves no zeros behind
        frames.append(Frame(page, size > 0, sound, body))
    return frames, torn


def read_image(path: Path) -> Image:
    """Return all pages as of the last commit that can be verified. Raises OSError."""
    data = path.read_bytes()
    wal = read_wal(path)
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    if size not in _SIZES or wal.frames:
        size = wal.page_size
    pages = [data[at : at + size].ljust(size, b"\0") for at in range(0, len(data), size)]
    extra: dict[int, bytes] = {}
    most = len(pages) + len(wal.frames)
    for frame in wal.frames:
        if not 0 < frame.page <= most:
            continue
        if not frame.sound:
            extra[frame.page] = frame.data
            continue
        extra.pop(frame.page, None)
        pages += [b"\0" * size] * (frame.page - len(pages))
        pages[frame.page - 1] = frame.data
    return Image(size, tuple(pages), tuple(extra.values()))


def _checksum(start: tuple[int, int], data: bytes, order: Literal["<", ">"]) -> tuple[int, int]:
    """Return SQLite's checksum of ``data``, a multiple of 8 bytes, going on from ``start``."""
    s0, s1 = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x0 + s1) & _MASK
        s1 = (s1 + x1 + s0) & _MASK
    return s0, s1
