"""``kvproxy bench codec``: what codecs make of a document's KV, and what int8 does to its reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvproxy.bench.codec_baselines import Baseline, baselines, missing
from kvproxy.bench.codec_effects import Reading, first_layer, int8_effect
from kvproxy.bench.engine.driver import Rig, open_rig
from kvproxy.bench.machine import engine_machine
from kvproxy.codecs.open_codec import CODECS, open_codec
from kvproxy.core import PAGE_TOKENS
from kvproxy.core.page_form import PageForm
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.economics.paper_economics import PAPER_INPUTS
from kvproxy.engine.models.source import resolve_model
from kvproxy.errors import SetupError

TAIL = 200
"""Tokens of the document behind the pages that are measured, which read them."""


def bench_codec(
    model: str,
    text: str,
    *,
    cache_dir: Path,
    pages: int = 12,
    repeats: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure on the first ``pages`` pages of ``text`` under a model. Speeds: plain GB/s of CPU time of one core.

    Raises SetupError when the model is not to be had or the text is too short.

    Example: ``bench_codec("smollm2-135m", text, cache_dir=folder, pages=4)``
    """
    say = progress or (lambda *_: None)
    folder = resolve_model(model, cache_dir=cache_dir).path
    ids = tuple(Tokenizer.load(folder).encode_text(text))[: pages * PAGE_TOKENS + TAIL]
    whole = (len(ids) - TAIL) // PAGE_TOKENS
    if whole < 1:
        raise SetupError(f"the text has {len(ids)} tokens; give one of at least {PAGE_TOKENS + TAIL}")
    ids = ids[: whole * PAGE_TOKENS + TAIL]
    say(0, 4)
    with _document(model, ids, "bfloat16", cache_dir) as (rig, kept):
        form = rig.model.page_shape.form
        result: dict[str, Any] = {
            "machine": rig.on_thread(engine_machine),
            "model": model,
            "tokens": whole * PAGE_TOKENS,
            "exact_kernels": rig.model.numerics.exact,
            "not_measured": missing(),
            "shipping_needs": float(PAPER_INPUTS.egress_ratio),
        }
        rows = measure_codecs(form, kept[:whole], repeats)
        say(1, 4)
        result["first_layer"] = first_layer(rig, ids[: whole * PAGE_TOKENS], kept[:whole], rows[0]["ratio"])
        result["int8"] = int8_effect(rig, Reading(ids, whole * PAGE_TOKENS))
        say(2, 4)
    with _document(model, ids, "float32", cache_dir) as (rig, kept):
        form = rig.model.page_shape.form
        rows += measure_codecs(form, kept[:whole], repeats)
        say(3, 4)
    half = PageForm(form.layers, form.kv_heads, form.head_dim, "float16")
    # No model is served in float16: the float32 KV rounded to it.
    with np.errstate(over="ignore"):
        rounded = [np.frombuffer(p, np.float32).astype(np.float16).tobytes() for p in kept[:whole]]
    rows += measure_codecs(half, rounded, repeats)
    say(4, 4)
    best = max(r["ratio"] for r in rows)
    return result | {"codecs": rows, "best_ratio": best, "reaches_shipping": best >= result["shipping_needs"]}


@contextmanager
def _document(
    model: str, ids: Sequence[int], dtype: str, cache_dir: Path
) -> Iterator[tuple[Rig, list[bytes]]]:
    """Prefill a document; yield the rig and the payloads of its pages."""
    with open_rig(model, dtype=dtype, tokens=len(ids) + 4 * PAGE_TOKENS, cache_dir=cache_dir) as rig:
        rig.run(ids, max_tokens=0)
        yield rig, [page.payload for page in rig.kv(ids)]


def measure_codecs(form: PageForm, pages: Sequence[bytes], repeats: int) -> list[dict[str, Any]]:
    """Return a row for each codec, the product's own first.

    Example: ``measure_codecs(form, [payload], repeats=1)[0]["ratio"]``
    """
    coders = (*(_own(name, form) for name in CODECS), *(_other(b, form) for b in baselines(form)))
    rows = [_measure(coder, form, pages, repeats) for coder in coders]
    wrong = [row["codec"] for row in rows if not row["equal"]]
    if wrong:
        raise AssertionError(f"other bits came back from {', '.join(wrong)}")
    return rows


@dataclass(frozen=True, slots=True)
class _Coder:
    """A codec of pages: the frames of one, and the numbers of a frame."""

    name: str
    encode: Callable[[bytes], list[bytes]]
    decode: Callable[[bytes], NDArray[Any]]


def _own(name: str, form: PageForm) -> _Coder:
    """Return the product's codec as the store calls it: into memory that is there already, a thread's own."""
    codec, size, own = open_codec(name, form), form.frame_bytes(PAGE_TOKENS), threading.local()

    def decode(coded: bytes) -> NDArray[Any]:
        room: NDArray[Any] | None = getattr(own, "room", None)
        if room is None:
            room = own.room = np.empty(size, np.uint8)
        codec.decode(memoryview(coded), 0, PAGE_TOKENS, memoryview(room))
        return room

    return _Coder(name, lambda page: codec.encode(memoryview(page), PAGE_TOKENS), decode)


def _other(baseline: Baseline, form: PageForm) -> _Coder:
    def encode(page: bytes) -> list[bytes]:
        return [baseline.encode(frame) for frame in _frames(page, form)]

    return _Coder(baseline.name, encode, baseline.decode)


def _frames(page: bytes, form: PageForm) -> list[bytes]:
    size = form.frame_bytes(PAGE_TOKENS)
    return [page[i * size : (i + 1) * size] for i in range(form.frames)]


def _measure(coder: _Coder, form: PageForm, pages: Sequence[bytes], repeats: int) -> dict[str, Any]:
    began = time.thread_time()
    coded = [frame for page in pages for frame in coder.encode(page)]
    encoding = time.thread_time() - began
    frames = [frame for page in pages for frame in _frames(page, form)]
    equal = all(coder.decode(c).tobytes() == frame for c, frame in zip(coded, frames, strict=True))
    decoding = min(_decode_all(coder, coded, time.thread_time) for _ in range(repeats))
    plain, keys = sum(map(len, frames)), sum(map(len, coded[::2]))
    return {
        "dtype": form.dtype,
        "codec": coder.name,
        "ratio": round(plain / sum(map(len, coded)), 4),
        "ratio_k": round(plain / 2 / keys, 4),
        "ratio_v": round(plain / 2 / sum(map(len, coded[1::2])), 4),
        "encode_gbs": round(plain / encoding / 1e9, 3),
        "decode_gbs": round(plain / decoding / 1e9, 3),
        "two_threads": round(_two_threads(coder, coded, repeats), 2),
        "equal": equal,
    }


def _decode_all(coder: _Coder, coded: Sequence[bytes], clock: Callable[[], float]) -> float:
    began = clock()
    for frame in coded:
        coder.decode(frame)
    return clock() - began


def _two_threads(coder: _Coder, coded: Sequence[bytes], repeats: int) -> float:
    """Return the wall time of one thread that decodes all twice, over that of two that decode all at once."""
    alone = together = float("inf")
    for _ in range(repeats):
        alone = min(alone, 2 * _decode_all(coder, coded, time.perf_counter))
        threads = [
            threading.Thread(target=_decode_all, args=(coder, coded, time.perf_counter)) for _ in range(2)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together = min(together, time.perf_counter() - began)
    return alone / together
