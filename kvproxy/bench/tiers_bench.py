"""`bench_tiers`: what a page costs in each tier below memory, plain and encrypted, beside moving its bytes alone."""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from kvproxy.core.page_form import PageForm
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_store import ObjectStore
from kvproxy.sealing.page_cipher import PageCipher
from kvproxy.store.page_results import Loaded
from kvproxy.store.page_store import PageStore
from kvproxy.tiers.pending_deletes import FILE, PendingDeletes
from kvproxy.tiers.tiered_pages import TieredPages

FORMS = {
    "smollm2-135m": PageForm(layers=30, kv_heads=3, head_dim=64, dtype="bfloat16"),
    "qwen3-4b": PageForm(layers=36, kv_heads=8, head_dim=128, dtype="bfloat16"),
}
_IDS = tuple(range(256))
_SETTLED_S = 600.0


def bench_tiers(
    form: PageForm,
    *,
    pages: int = 8,
    url: str | None = None,
    options: Mapping[str, str] | None = None,
    repeats: int = 3,
) -> dict[str, Any]:
    """Write and read ``pages`` pages in local files and in an object store; without ``url`` in a folder.

    The store gets objects of a fingerprint of their own, which are deleted at the end. Times are medians in seconds
    for a page, of the wall clock and of this process's processors.

    Example: ``bench_tiers(FORMS["qwen3-4b"], pages=4)["rows"]``
    """
    payload = os.urandom(form.payload_bytes(len(_IDS)))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="kvproxy-tiers-") as folder:
        place = ObjectAddress(url or f"file://{folder}/objects", options or {}, timeout_s=60.0)
        for sealed in (False, True):
            for repeat in range(repeats):
                run = _Run(Path(folder) / f"{sealed}-{repeat}", place, form, sealed=sealed)
                rows += run.rows(payload, pages)
    return {
        "url": place.url,
        "pages": pages,
        "page_bytes": len(payload),
        "rows": _medians(rows),
    }


class _Run:
    """One empty store of each kind, filled, read and emptied."""

    def __init__(self, folder: Path, place: ObjectAddress, form: PageForm, *, sealed: bool) -> None:
        self._folder, self._place, self._form, self._sealed = folder, place, form, sealed
        self._fingerprint = f"bench-{os.urandom(8).hex()}"
        self._seal = PageCipher.of_this_process() if sealed else None
        folder.mkdir()

    def rows(self, payload: bytes, pages: int) -> list[dict[str, Any]]:
        keys = [hashlib.sha256(f"{i}".encode()).digest() for i in range(pages)]
        rows: list[dict[str, Any]] = []

        def timed(
            what: str, each: Callable[[bytes], object], end: Callable[[], object] = lambda: None
        ) -> None:
            wall, cpu = time.perf_counter(), time.process_time()
            for key in keys:
                each(key)
            end()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            rows.append({"what": what, "sealed": self._sealed, "wall_s": wall / pages, "cpu_s": cpu / pages})

        with self._tiers("one") as one:
            timed("write a file, synced", lambda k: one.local.put(k, k, _IDS, payload))
            timed("write behind to the object store", one.behind.store, lambda: _settled(one))
            timed("read and verify a file, as it is", lambda k: one.local.read_file(k))
            timed("load from a file", lambda k: _loaded(one.local.get(k, k, _IDS)))
        with self._tiers("two") as two:
            timed("fetch an object, bytes alone", lambda k: two.objects.fetch(k))
            timed("load from an object, and keep it", lambda k: _loaded(two.get(k, k, _IDS)))
            two.behind.settle(_SETTLED_S)
            two.objects.delete(keys)
        return rows

    @contextmanager
    def _tiers(self, name: str) -> Iterator[TieredPages]:
        folder = self._folder / name
        with PageStore(
            folder, max_size=2**40, fingerprint=self._fingerprint, form=self._form, seal=self._seal
        ) as local:
            objects = ObjectPages(ObjectStore(self._place), self._fingerprint)
            with closing(TieredPages(local, objects, PendingDeletes(folder / FILE))) as tiers:
                tiers.wait_for_names(_SETTLED_S)
                yield tiers


def _settled(tiers: TieredPages) -> None:
    if not tiers.behind.settle(_SETTLED_S):
        raise TimeoutError("the object store took no pages")


def _loaded(found: object) -> None:
    if not isinstance(found, Loaded):
        raise AssertionError(f"a page that was written is not there: {found}")


def _medians(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kinds = dict.fromkeys((row["what"], row["sealed"]) for row in rows)
    return [
        {
            "what": what,
            "sealed": sealed,
            **{
                name: statistics.median(r[name] for r in rows if (r["what"], r["sealed"]) == (what, sealed))
                for name in ("wall_s", "cpu_s")
            },
        }
        for what, sealed in kinds
    ]
