"""``kvproxy bench paper``: the measurements of "Can I Buy Your KV Cache?" (arXiv 2606.13361), made with this engine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kvproxy.bench.engine.driver import Rig, open_rig
from kvproxy.bench.engine.timed_answer import Timed, TimedAnswer
from kvproxy.bench.kv_size import Layout, int8_bytes, int8_round_trip, lossless_ratio
from kvproxy.bench.machine import engine_machine
from kvproxy.core import NANO
from kvproxy.core.common_prefix import common_prefix
from kvproxy.documents.library.document_info import GREEDY_TOKENS
from kvproxy.economics.document_case import MarketPrices
from kvproxy.economics.paper_economics import PAPER_INPUTS
from kvproxy.economics.read_costs import break_even_reads, egress_nano, prefill_nano, seconds
from kvproxy.errors import SetupError

SIZES = (255, 512, 1024, 2048, 3774)

PAPER: dict[str, Any] = {
    "source": f"{PAPER_INPUTS.source}: {PAPER_INPUTS.setting}",
    "ratio": {
        PAPER_INPUTS.short_tokens: float(PAPER_INPUTS.short_ratio),
        PAPER_INPUTS.tokens: float(PAPER_INPUTS.ratio),
    },
    "mb_per_token": PAPER_INPUTS.bytes_per_token / 1e6,
    "largest_difference": float(PAPER_INPUTS.largest_difference),
    "equal_greedy": GREEDY_TOKENS,
    "egress_ratio": float(PAPER_INPUTS.egress_ratio),
}


def bench_paper(
    model: str,
    *,
    cache_dir: Path,
    dtype: str = "bfloat16",
    sizes: Sequence[int] = SIZES,
    repeats: int = 3,
    prices: MarketPrices | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Documents of random tokens. Medians of ``repeats``, but one cold prefill of more than 2,048 tokens. Times in
    seconds; MB and GB are 10^6 and 10^9 bytes, as the paper's. Sizes beyond the model's context are ``left_out``.

    Raises SetupError when the model is not to be had or no size can be measured.

    Example: ``bench_paper("shape:qwen3-4b", cache_dir=folder, sizes=(255, 1024))``
    """
    if min(sizes) < 2:
        raise SetupError("a document of one token leaves nothing to be reused: take 2 or more")
    say, prices = progress or (lambda *_: None), prices or MarketPrices()
    tokens = max(sizes) * 2 + 4 * 256
    with open_rig(model, dtype=dtype, tokens=tokens, cache_dir=cache_dir, disk=True) as rig:
        left_out = [n for n in sizes if n + GREEDY_TOKENS > rig.model.max_context]
        sizes = [n for n in sizes if n not in left_out]
        if not sizes:
            room = rig.model.max_context - GREEDY_TOKENS
            raise SetupError(f"{model} has room for documents of at most {room} tokens")
        rig.run(rig.prompt(300, seed=-1), max_tokens=4, reuse=False, register=False)  # a warm-up
        rows = []
        for done, size in enumerate(sizes):
            say(done, len(sizes))
            rows.append(_Paper(rig, size, repeats, prices).row())
        say(len(sizes), len(sizes))
        shape = rig.model.page_shape
        return {
            "machine": rig.on_thread(engine_machine),
            "model": model,
            "dtype": dtype,
            "repeats": repeats,
            "exact_kernels": rig.model.numerics.exact,
            "kv_bytes_per_token": shape.bytes // 256,
            "prices": {"input_per_million": prices.input / NANO, "egress_per_gb": prices.egress_gb / NANO},
            "paper": {**PAPER, "ratio": {str(n): r for n, r in PAPER["ratio"].items()}},
            "sizes": rows,
            "left_out": left_out,
        }


class _Paper:
    """One document. A reader's prompt is the document: of a hit its last token is computed, as the paper's reader
    computes one token behind the KV that it loaded."""

    def __init__(self, rig: Rig, size: int, repeats: int, prices: MarketPrices) -> None:
        self.rig, self.size, self.prices, self.repeats = rig, size, prices, repeats
        self.document = rig.prompt(size, seed=size)
        shape = rig.model.page_shape
        self.layout = Layout(shape.layers, shape.kv_heads, shape.head_dim, shape.dtype.itemsize)

    def row(self) -> dict[str, Any]:
        cold, cold_s = self._cold()
        published = self.rig.run(self.document, max_tokens=0, persist=True)
        from_disk = [self._from_disk() for _ in range(self.repeats)]
        resident = [self._read() for _ in range(self.repeats)]
        disk_s = statistics.median(t.ttft_s for t in from_disk)
        resident_s = statistics.median(t.ttft_s for t in resident)
        reads = break_even_reads(*map(seconds, (published.wall_s, cold_s, disk_s)))
        row = {
            "tokens": self.size,
            "prefill_s": round(cold_s, 5),
            "publish_s": round(published.wall_s, 5),
            "from_disk_s": round(disk_s, 5),
            "load_s": round(statistics.median(t.load_s for t in from_disk), 5),
            "resident_s": round(resident_s, 5),
            "ratio_disk": round(cold_s / disk_s, 2),
            "ratio_resident": round(cold_s / resident_s, 2),
            "break_even_reads": None if reads is None else round(float(reads), 2),
        }
        row |= self._exactness(cold)
        return row | self._size(cold)

    def _cold(self) -> tuple[TimedAnswer, float]:
        """Return the last of the cold runs, every position scored, and the median time to the first token."""
        times = []
        for _ in range(self.repeats if self.size <= 2048 else 1):
            answer = self._submit(0, reuse=False, register=False)
            times.append(answer.end().ttft_s)
        return answer, statistics.median(times)

    def _submit(self, score_from: int, **fields: Any) -> TimedAnswer:
        return self.rig.submit(self.document, max_tokens=GREEDY_TOKENS, score_from=score_from, **fields)

    def _read(self) -> Timed:
        timed = self.rig.run(self.document, max_tokens=1, register=False)
        if timed.cached_tokens != self.size - 1:
            raise AssertionError(f"{timed.cached_tokens} of {self.size} tokens came from kept pages")
        return timed

    def _from_disk(self) -> Timed:
        self.rig.forget()
        return self._read()

    def _exactness(self, cold: TimedAnswer) -> dict[str, Any]:
        """Hits at three boundaries, loaded from disk, against the cold run: every position behind each of them, and
        the answer's."""
        expected = cold.end().tokens
        positions, largest, argmax, greedy = 0, 0.0, 0, GREEDY_TOKENS
        for boundary in sorted({self.size - 1, self.size // 2, max(1, self.size // 256 * 256 - 1)}):
            self.rig.forget()
            hit = self._submit(boundary, register=False)
            timed = hit.end()
            if timed.cached_tokens != boundary:
                raise AssertionError(f"{timed.cached_tokens} rather than {boundary} tokens came from pages")
            rows = self.rig.compare(hit, cold, boundary)
            positions, argmax = positions + rows.positions, argmax + rows.equal_argmax
            largest = max(largest, rows.largest) if rows.largest == rows.largest else float("inf")
            greedy = min(greedy, common_prefix(timed.tokens, expected))
        return {
            "positions": positions,
            "equal_argmax": argmax,
            "largest_difference": largest,
            "equal_greedy": greedy,
            "greedy_tokens": GREEDY_TOKENS,
        }

    def _size(self, cold: TimedAnswer) -> dict[str, Any]:
        """Measure sizes, and the effect of int8 on an answer; the pages are as they were afterwards."""
        rig, n = self.rig, self.size
        pages = rig.kv(self.document)
        plain = sum(self.layout.used(p).nbytes for p in pages)
        lossless = lossless_ratio(pages, self.layout)
        small = int8_bytes(pages, self.layout)
        rig.overwrite([int8_round_trip(p, self.layout) for p in pages])
        lossy = self._submit(n - 1, register=False)
        equal = common_prefix(lossy.end().tokens, cold.end().tokens)
        # Behind the first other token the two answers are no longer answers to the same thing.
        difference = rig.compare(lossy, cold, n - 1, n + equal).largest
        rig.forget()
        prefill_usd = float(prefill_nano(n, self.prices.input) / NANO)
        egress_usd = float(egress_nano(plain, self.prices.egress_gb) / NANO)
        return {
            "kv_mb": round(plain / 1e6, 3),
            "mb_per_token": round(plain / 1e6 / n, 4),
            "lossless_of_plain": round(lossless, 3),
            "int8_of_plain": round(small / plain, 3),
            "int8_largest_difference": difference,
            "int8_equal_greedy": equal,
            "egress_usd": round(egress_usd, 6),
            "prefill_usd": round(prefill_usd, 6),
            "egress_of_prefill": round(egress_usd / prefill_usd, 2),
            "lossless_egress_of_prefill": round(lossless * egress_usd / prefill_usd, 2),
        }
