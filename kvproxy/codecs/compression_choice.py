"""`CompressionChoice`: whether a page is compressed when it is written, from measured speeds and the store's room."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kvproxy.codecs.page_codec import PageCodec
from kvproxy.core.page_form import PageForm

NEARLY_FULL = 0.8
"""Share of a store's size from which on ``auto`` compresses whatever loading costs."""
SAMPLE_BYTES = 16 * 2**20
"""Bytes that are written and read to measure a medium: a tenth of a second of one that is slow enough to matter."""


@dataclass(frozen=True, slots=True)
class LoadingSpeeds:
    """Plain bytes per second, on one core, and how much shorter a page gets."""

    read: float
    """Reading of the medium, without what the operating system keeps in memory."""
    decode: float
    ratio: float

    @property
    def faster(self) -> bool:
        """Whether a compressed page is loaded sooner: read, then decoded.

        That is so below ``decode * (1 - 1 / ratio)``: of 2.4 GB/s and 1.55, where the medium reads less than 0.85 GB/s.
        """
        return 1 / (self.read * self.ratio) + 1 / self.decode < 1 / self.read


@dataclass(frozen=True, slots=True)
class CompressionChoice:
    """The setting ``store.compression``, decided for each page that is written."""

    always: bool
    """A codec was named, or loading gets faster, or pages go to an object store."""
    when_full: bool
    """``auto``: a store that is nearly full is compressed in any case."""

    def compress(self, used: int, size: int) -> bool:
        """Whether a page is compressed that is written while ``used`` of ``size`` bytes are taken.

        Example: ``CompressionChoice(always=False, when_full=True).compress(used=9, size=10)``
        """
        return self.always or (self.when_full and used >= NEARLY_FULL * size)


def choose_compression(setting: str, speeds: LoadingSpeeds | None, *, objects: bool) -> CompressionChoice:
    """Return the choice of a setting: ``off``, ``auto`` or a codec's name.

    ``speeds``: measured, for ``auto``; None where they could not be. ``objects``: whether pages also go to an object
    store, whose bytes cross a network and are paid for.

    Example: ``choose_compression("auto", speeds, objects=False)``
    """
    if setting in ("off", "auto"):
        auto = setting == "auto"
        faster = speeds is not None and speeds.faster
        return CompressionChoice(always=auto and (objects or faster), when_full=auto)
    return CompressionChoice(always=True, when_full=True)


def measure_loading(codec: PageCodec, form: PageForm, folder: Path) -> LoadingSpeeds | None:
    """Measure a codec and the medium below ``folder``; None where the system cannot be told to forget a file.

    Example: ``measure_loading(codec, form, store_folder)``
    """
    source = np.random.default_rng(0)
    page = _sample(form, source)
    frames = codec.encode(memoryview(page), 256)
    room = memoryview(bytearray(form.frame_bytes(256)))
    began = time.thread_time()
    for index, frame in enumerate(frames):
        codec.decode(memoryview(frame), index, 256, room)
    decode = len(page) / max(time.thread_time() - began, 1e-9)
    read = _read_speed(folder, source.bytes(SAMPLE_BYTES))
    return None if read is None else LoadingSpeeds(read, decode, len(page) / sum(map(len, frames)))


def _sample(form: PageForm, source: np.random.Generator) -> bytes:
    """Return a page of channels with a mean and a spread of their own, roughly as models make them."""
    shape = (form.frames, form.kv_heads, 256, form.head_dim)
    channel = (form.frames, form.kv_heads, 1, form.head_dim)
    spread = np.exp(source.normal(-1, 0.7, channel).astype(np.float32))
    numbers = (source.normal(0, 1, channel) + source.standard_normal(shape, np.float32)) * spread
    if form.dtype == "float16":
        return numbers.astype(np.float16).tobytes()
    bits = numbers.astype(np.float32).view(np.uint32)
    return bits.tobytes() if form.dtype == "float32" else (bits >> 16).astype(np.uint16).tobytes()


def _read_speed(folder: Path, content: bytes) -> float | None:
    path = folder / f".speed-{os.getpid()}"
    try:
        with path.open("w+b", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            room = bytearray(len(content))
            file.seek(0)
            began = time.perf_counter()
            got = file.readinto(room)
            seconds = time.perf_counter() - began
            return got / max(seconds, 1e-9) if got else None
    except (OSError, AttributeError):
        return None
    finally:
        path.unlink(missing_ok=True)
