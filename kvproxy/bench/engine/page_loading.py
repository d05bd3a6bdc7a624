"""``kvproxy bench pages``: loading stored pages beside reading the same files, from the disk and from its cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kvproxy.codecs.open_codec import open_codec
from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_layout import PageLayout
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.page_room import PageRoom
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.native_layout import NativeLayout
from kvproxy.store import page_file
from kvproxy.store.disk import page_name
from kvproxy.store.page_record import Torn
from kvproxy.store.page_results import Loaded
from kvproxy.store.page_store import PageStore

SHAPES = {
    "smollm2-135m": PageShape(30, 3, 64, torch.bfloat16),
    "qwen3-0.6b": PageShape(28, 8, 128, torch.bfloat16),
}
"""Pages of the models that the other measurements run."""
PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class MeasuredPages:
    """Pages in a store, with what measuring them needs."""

    store: PageStore
    pool: PagePool
    keys: tuple[bytes, ...]
    paths: tuple[Path, ...]
    threads: int

    @property
    def stored_bytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.paths)

    def forget(self) -> None:
        """Drop the files from the system's cache, so that the next read is the disk's."""
        for path in self.paths:
            fd = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def read(self) -> float:
        """Return the seconds to read every file into one buffer that is there already."""
        size = max(path.stat().st_size for path in self.paths)

        def one(path: Path, room: memoryview) -> None:
            with path.open("rb", buffering=0) as file:
                while file.readinto(room):
                    pass

        return self._timed(lambda i, room: one(self.paths[i], room), size)

    def verify(self) -> float:
        """Return the seconds to read every file and compare all its checksums, with nothing kept."""

        def one(path: Path) -> None:
            with path.open("rb", buffering=0) as file:
                if isinstance(found := page_file.read_whole(file), Torn):
                    raise RuntimeError(found.reason)

        return self._timed(lambda i, _: one(self.paths[i]), 1)

    def load(self) -> float:
        """Return the seconds to load every page into its page of the pool, as the engine does."""

        def one(index: int, scratch: memoryview) -> None:
            room = PageRoom(self.pool, index + 1, PAGE_TOKENS, scratch)
            found = self.store.get(self.keys[index], b"", token_ids(index), room)
            if not isinstance(found, Loaded):
                raise RuntimeError(f"a page that was just stored was not loaded: {found}")

        return self._timed(one, self.pool.shape.bytes // self.pool.shape.layers)

    def _timed(self, work: Callable[[int, memoryview], None], room_bytes: int) -> float:
        """Return the seconds in which the threads do ``work(page, room)`` for every page."""

        def share(first: int) -> None:
            room = memoryview(bytearray(room_bytes))
            for index in range(first, len(self.paths), self.threads):
                work(index, room)

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(lambda _: None, range(self.threads)))  # the threads are there before the clock runs
            began = time.perf_counter()
            for done in [pool.submit(share, first) for first in range(self.threads)]:
                done.result()
            return time.perf_counter() - began


def token_ids(index: int) -> tuple[int, ...]:
    """Return made-up token ids of one page."""
    return tuple(range(index, index + PAGE_TOKENS))


def bench_pages(
    shape: PageShape,
    *,
    pages: int = 30,
    codecs: Sequence[str] = (PLAIN,),
    threads: Sequence[int] = (1, 2),
    repeats: int = 5,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Take the best of ``repeats`` for every way, cache and number of threads; GB/s are of the files' bytes.

    ``folder``: on the disk that is meant; None: the system's temporary one. Numbers of a normal distribution, with a
    scale for each channel: a codec's ratio on them says nothing, see ``kvproxy bench codec``.

    Example: ``bench_pages(SHAPES["smollm2-135m"], pages=8, repeats=1)``
    """
    rows: list[dict[str, Any]] = []
    for done, codec in enumerate(codecs):
        with tempfile.TemporaryDirectory(prefix="kvproxy-pages-", dir=folder) as place:
            rows += _measure(shape, Path(place), codec, pages, threads, repeats)
        if progress is not None:
            progress(done + 1, len(codecs))
    return {
        "pages": pages,
        "page_bytes": shape.bytes,
        "kernels_layout": isinstance(_layout(), NativeLayout),
        "rows": rows,
    }


def _measure(
    shape: PageShape, place: Path, codec: str, pages: int, threads: Sequence[int], repeats: int
) -> list[dict[str, Any]]:
    opened = None if codec == PLAIN else open_codec(codec, shape.form)
    pool = PagePool(shape, pages + 1, torch.device("cpu"), _layout())
    with PageStore(place, max_size=2**40, fingerprint="bench", form=shape.form, codec=opened) as store:
        keys = tuple(hashlib.sha256(b"bench pages %d" % i).digest() for i in range(pages))
        for index, key in enumerate(keys):
            store.put(key, b"", token_ids(index), _numbers(shape, index))
        paths = tuple(place / "pages" / page_name(key) for key in keys)
        rows = []
        for count in threads:
            stored = MeasuredPages(store, pool, keys, paths, count)
            for cold in (False, True):
                rows.append({"pages": codec, "cache": "cold" if cold else "warm", "threads": count}
                            | _row(stored, repeats, pages * shape.bytes, cold=cold))  # fmt: skip
        return rows


def _row(stored: MeasuredPages, repeats: int, plain_bytes: int, *, cold: bool) -> dict[str, Any]:
    """Take the ways in turn, so that a slow moment of the machine meets all of them."""
    ways = {"read": stored.read, "verify": stored.verify, "load": stored.load}
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, way in ways.items():
            if cold:
                stored.forget()
            best[name] = min(best[name], way())
    size = stored.stored_bytes
    return {
        **{f"{name}_gb_s": size / seconds / 1e9 for name, seconds in best.items()},
        "kv_gb_s": plain_bytes / best["load"] / 1e9,
        "load_ms_per_page": best["load"] / len(stored.paths) * 1e3,
        "of_read": best["read"] / best["load"],
        "of_verify": best["verify"] / best["load"],
    }


def _layout() -> PageLayout | None:
    """Return the layout of the CPU's own kernels; None without them: row by row."""
    kernels = load_kernels()
    return NativeLayout(kernels) if isinstance(kernels, Kernels) else None


def _numbers(shape: PageShape, seed: int) -> memoryview:
    """Return one page's payload: no two alike."""
    source = torch.Generator().manual_seed(seed)
    size = (shape.layers, 2, shape.kv_heads, PAGE_TOKENS, shape.head_dim)
    scales = torch.exp(torch.randn(shape.layers, 2, shape.kv_heads, 1, shape.head_dim, generator=source))
    numbers = (torch.randn(size, generator=source) * scales).to(shape.dtype)
    return memoryview(numbers.view(torch.uint8).numpy().tobytes())
