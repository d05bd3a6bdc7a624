"""``kvproxy bench readers``: many readers of one hot document, beside one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kvproxy.bench.engine.driver import Rig, open_rig, rss_bytes
from kvproxy.bench.engine.timed_answer import TimedAnswer
from kvproxy.bench.machine import engine_machine
from kvproxy.core import PAGE_TOKENS

READERS = (1, 2, 4, 8)
DOCUMENT = 3774
QUESTION = 25
NEW = 64


def bench_readers(
    model: str,
    *,
    cache_dir: Path,
    dtype: str = "bfloat16",
    readers: Sequence[int] = READERS,
    document: int = DOCUMENT,
    question: int = QUESTION,
    new: int = NEW,
    repeats: int = 3,
    drafts: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """``document`` and ``question`` in random tokens, ``new`` greedy tokens for each reader. Medians of
    ``repeats``, the reader counts in turn. Times in seconds, memory in bytes.

    Example: ``bench_readers("smollm2-135m", cache_dir=folder, readers=(1, 8))``
    """
    say, total, done = progress or (lambda *_: None), repeats * (len(readers) + 2), 0
    most = max(readers)
    # Two documents (hot and cold), and for each reader its copy of a partial page, its tail, and a page to spare.
    tokens = 2 * (document + PAGE_TOKENS) + most * (question + new + 3 * PAGE_TOKENS)
    with open_rig(model, dtype=dtype, tokens=tokens, cache_dir=cache_dir, speculate=drafts) as rig:
        say(0, total)
        hot = rig.prompt(document, seed=1)
        rig.run(hot, max_tokens=0)
        _read_together(rig, hot, 1, question, new, seed=0)
        # Touches the memory that all later runs use again.
        first = _read_together(rig, hot, most, question, new, seed=0)
        crowds: dict[int, list[dict[str, Any]]] = {n: [] for n in readers}
        cold, warm, alone = [], [], []
        for repeat in range(repeats):
            for n in readers:
                say(done, total)
                crowds[n].append(_read_together(rig, hot, n, question, new, seed=repeat + 1))
                done += 1
            say(done, total)
            fresh = rig.prompt(document, seed=1000 + repeat)
            cold.append(_read_together(rig, fresh, most, question, new, seed=repeat + 1, keep=True))
            rig.run(hot, max_tokens=0)  # the fresh document may have pushed it out
            done += 1
            w, a = _question_times(rig, hot, question, seed=repeat)
            warm += w
            alone += a
            done += 1
        say(total, total)
        faults = rig.check()
        if faults:
            raise AssertionError(f"the books of pages are wrong: {faults}")
        rows = [_row(n, crowds[n]) for n in readers]
        for row in rows:
            row["of_first"] = round(row["wall_s"] / rows[0]["wall_s"], 3)
            row["one_after_another_s"] = round(row["readers"] * rows[0]["wall_s"] / rows[0]["readers"], 4)
        return {
            "machine": rig.on_thread(engine_machine),
            "model": model,
            "dtype": dtype,
            "document_tokens": document,
            "question_tokens": question,
            "new_tokens": new,
            "repeats": repeats,
            "drafts": drafts,
            "page_bytes": rig.page_bytes,
            "document_pages": -(-document // PAGE_TOKENS),
            "first_use_rss_bytes": first["rss"],
            "readers": rows,
            "cold": _row(most, cold),
            "ttft": {
                "warm_s": round(statistics.median(warm), 5),
                "question_alone_s": round(statistics.median(alone), 5),
                "ratio": round(statistics.median(warm) / statistics.median(alone), 3),
            },
        }


def _read_together(
    rig: Rig,
    document: Sequence[int],
    readers: int,
    question: int,
    new: int,
    *,
    seed: int,
    keep: bool = False,
) -> dict[str, Any]:
    """All submitted at once, each with a question of its own. ``keep``: leave the document behind.

    Pages and memory are looked at twice, while all stream and shortly before they end; pages also behind each tile of a
    prompt, on the engine's thread: short answers end sooner than another thread looks. The highest counts.
    """
    held, rss = rig.occupancy().held, rss_bytes()
    seen: list[int] = []
    began = time.perf_counter()
    answers = [
        rig.submit(
            (*document, *rig.prompt(question, seed=seed * 1000 + reader)),
            max_tokens=new,
            keep_until=len(document) if keep else 0,
            inspect=lambda _: seen.append(rig.occupancy().held),
        )
        for reader in range(readers)
    ]
    most_held, most_rss = held, rss
    for tokens in (1, max(1, new - 2)):
        most_held, most_rss = _look(rig, answers, tokens, most_held, most_rss)
    timed = [a.end() for a in answers]
    wall = max(t.began_at + t.wall_s for t in timed) - began
    return {
        "wall_s": wall,
        "ttft_s": max(t.ttft_s for t in timed),
        "computed": sum(len(document) + question - t.cached_tokens for t in timed),
        "pages": max(most_held, *seen) - held,
        "rss": most_rss - rss,
        "tokens": readers * new,
    }


def _look(rig: Rig, answers: Sequence[TimedAnswer], tokens: int, held: int, rss: int) -> tuple[int, int]:
    for answer in answers:
        answer.read(tokens)
    return max(held, rig.occupancy().held), max(rss, rss_bytes())


def _question_times(
    rig: Rig, document: Sequence[int], question: int, *, seed: int
) -> tuple[list[float], list[float]]:
    """TTFT of a question behind the resident document, and of one with no document, in turn."""
    warm, alone = [], []
    for turn in range(3):
        asked = rig.prompt(question, seed=(seed + 1) * 100_000 + turn)
        hit = rig.run((*document, *asked), max_tokens=1, keep_until=0)
        if hit.cached_tokens < len(document):
            raise AssertionError("the document was not resident")
        warm.append(hit.ttft_s)
        alone.append(rig.run(asked, max_tokens=1, reuse=False, register=False).ttft_s)
    return warm, alone


def _row(readers: int, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    wall = statistics.median(r["wall_s"] for r in runs)
    return {
        "readers": readers,
        "wall_s": round(wall, 4),
        "tokens_per_s": round(runs[0]["tokens"] / wall, 1),
        "last_ttft_s": round(statistics.median(r["ttft_s"] for r in runs), 4),
        "computed_tokens": max(r["computed"] for r in runs),
        "pages": max(r["pages"] for r in runs),
        "pages_per_reader": round(max(r["pages"] for r in runs) / readers, 2),
        "rss_bytes": max(r["rss"] for r in runs),
    }
