"""``kvproxy bench codec``: what codecs make of a document's KV, and what int8 does to its reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvproxy.bench.codec_baselines import PeerCodec, baselines, missing
from kvproxy.bench.codec_effects import Reading, int8_effect
from kvproxy.bench.engine.driver import Rig, open_rig
from kvproxy.bench.machine import engine_machine
from kvproxy.codecs.first_layer_codec import FirstLayerRows
from kvproxy.codecs.open_codec import CODECS, WITH_ENGINE, open_codec
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
    ids = _document_ids(model, text, pages, cache_dir)
    known = len(ids) - TAIL
    say(0, 4)
    with _document(model, ids, "bfloat16", cache_dir) as (rig, kept):
        result: dict[str, Any] = {
            "machine": rig.on_thread(engine_machine),
            "model": model,
            "tokens": known,
            "exact_kernels": rig.model.numerics.exact,
            "not_measured": missing(),
            "shipping_needs": float(PAPER_INPUTS.egress_ratio),
        }
        rows = _measured(rig, kept, repeats)
        say(1, 4)
        result["int8"] = int8_effect(rig, Reading(ids, known))
        say(2, 4)
    with _document(model, ids, "float32", cache_dir) as (rig, kept):
        rows += _measured(rig, kept, repeats)
        form = replace(rig.model.page_shape.form, dtype="float16")
        say(3, 4)
    # No model is served in float16: the float32 KV rounded to it.
    rows += measure_codecs(form, [_rounded(page) for page in kept], repeats)
    say(4, 4)
    best = max(r["ratio"] for r in rows)
    return result | {"codecs": rows, "best_ratio": best, "reaches_shipping": best >= result["shipping_needs"]}


def _document_ids(model: str, text: str, pages: int, cache_dir: Path) -> tuple[int, ...]:
    """Return the tokens of as many whole pages as there are, at most ``pages``, and TAIL behind them."""
    folder = resolve_model(model, cache_dir=cache_dir).path
    ids = Tokenizer.load(folder).encode_text(text)
    whole = min(pages, (len(ids) - TAIL) // PAGE_TOKENS)
    if whole < 1:
        raise SetupError(f"the text has {len(ids)} tokens; give one of at least {PAGE_TOKENS + TAIL}")
    return tuple(ids[: whole * PAGE_TOKENS + TAIL])


@dataclass(frozen=True, slots=True)
class CodedPage:
    """A page's payload, and the token ids that it was computed from."""

    payload: bytes
    token_ids: tuple[int, ...]


def _rounded(page: CodedPage) -> CodedPage:
    with np.errstate(over="ignore"):
        half = np.frombuffer(page.payload, np.float32).astype(np.float16)
    return CodedPage(half.tobytes(), page.token_ids)


@contextmanager
def _document(
    model: str, ids: tuple[int, ...], dtype: str, cache_dir: Path
) -> Iterator[tuple[Rig, list[CodedPage]]]:
    """Prefill a document; yield the rig and the document's whole pages."""
    with open_rig(model, dtype=dtype, tokens=len(ids) + 4 * PAGE_TOKENS, cache_dir=cache_dir) as rig:
        rig.run(ids, max_tokens=0)
        kept = enumerate(page.payload for page in rig.kv(ids) if page.used == PAGE_TOKENS)
        yield rig, [CodedPage(p, ids[i * PAGE_TOKENS : (i + 1) * PAGE_TOKENS]) for i, p in kept]


def _measured(rig: Rig, pages: Sequence[CodedPage], repeats: int) -> list[dict[str, Any]]:
    return measure_codecs(rig.model.page_shape.form, pages, repeats, rig.model.first_layer())


def measure_codecs(
    form: PageForm, pages: Sequence[CodedPage], repeats: int, engine: FirstLayerRows | None = None
) -> list[dict[str, Any]]:
    """Return a row for each codec, the product's own first; the one that needs it with an ``engine`` alone.

    Example: ``measure_codecs(form, [CodedPage(payload, token_ids)], repeats=1)[0]["ratio"]``
    """
    names = (*CODECS, *([] if engine is None else [WITH_ENGINE]))
    coders = [*(_own(name, form, engine) for name in names), *(_other(b, form) for b in baselines(form))]
    rows = [_measure(coder, form, pages, repeats) for coder in coders]
    wrong = [row["codec"] for row in rows if not row["equal"]]
    if wrong:
        raise AssertionError(f"other bits came back from {', '.join(wrong)}")
    return rows


@dataclass(frozen=True, slots=True)
class _Frame:
    """One coded frame of a page."""

    coded: bytes
    index: int
    page: CodedPage


@dataclass(frozen=True, slots=True)
class _Coder:
    """A codec of pages: the frames of one, and the numbers of a frame."""

    name: str
    encode: Callable[[CodedPage], list[bytes]]
    decode: Callable[[_Frame], NDArray[Any]]


def _own(name: str, form: PageForm, engine: FirstLayerRows | None) -> _Coder:
    """Return the product's codec as the store calls it: into memory that is there already, a thread's own."""
    codec, size, own = open_codec(name, form, engine), form.frame_bytes(PAGE_TOKENS), threading.local()

    def decode(frame: _Frame) -> NDArray[Any]:
        room: NDArray[Any] | None = getattr(own, "room", None)
        if room is None:
            room = own.room = np.empty(size, np.uint8)
        codec.decode(memoryview(frame.coded), frame.index, frame.page.token_ids, room.data)
        return room

    return _Coder(name, lambda page: codec.encode(memoryview(page.payload), page.token_ids), decode)


def _other(baseline: PeerCodec, form: PageForm) -> _Coder:
    def encode(page: CodedPage) -> list[bytes]:
        return [baseline.encode(frame) for frame in _plain(page, form)]

    return _Coder(baseline.name, encode, lambda frame: baseline.decode(frame.coded))


def _plain(page: CodedPage, form: PageForm) -> list[bytes]:
    size = form.frame_bytes(PAGE_TOKENS)
    return [page.payload[i * size : (i + 1) * size] for i in range(form.frames)]


def _measure(coder: _Coder, form: PageForm, pages: Sequence[CodedPage], repeats: int) -> dict[str, Any]:
    began = time.thread_time()
    coded = [[*enumerate(coder.encode(page))] for page in pages]
    encoding = time.thread_time() - began
    frames = [_Frame(c, i, page) for page, row in zip(pages, coded, strict=True) for i, c in row]
    wanted = [frame for page in pages for frame in _plain(page, form)]
    equal = all(coder.decode(f).tobytes() == plain for f, plain in zip(frames, wanted, strict=True))
    decoding = min(_decode_all(coder, frames, time.thread_time) for _ in range(repeats))
    plain, keys = sum(map(len, wanted)), sum(len(f.coded) for f in frames[::2])
    values = sum(len(f.coded) for f in frames[1::2])
    return {
        "dtype": form.dtype,
        "codec": coder.name,
        "ratio": round(plain / (keys + values), 4),
        "ratio_k": round(plain / 2 / keys, 4),
        "ratio_v": round(plain / 2 / values, 4),
        "encode_gbs": round(plain / encoding / 1e9, 3),
        "decode_gbs": round(plain / decoding / 1e9, 3),
        "two_threads": round(_two_threads(coder, frames, repeats), 2),
        "equal": equal,
    }


def _decode_all(coder: _Coder, frames: Sequence[_Frame], clock: Callable[[], float]) -> float:
    began = clock()
    for frame in frames:
        coder.decode(frame)
    return clock() - began


def _two_threads(coder: _Coder, frames: Sequence[_Frame], repeats: int) -> float:
    """Return the wall time of one thread that decodes all twice, over that of two that decode all at once."""
    alone = together = float("inf")
    for _ in range(repeats):
        alone = min(alone, 2 * _decode_all(coder, frames, time.perf_counter))
        threads = [
            threading.Thread(target=_decode_all, args=(coder, frames, time.perf_counter)) for _ in range(2)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together = min(together, time.perf_counter() - began)
    return alone / together
