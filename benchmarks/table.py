"""``python -m benchmarks.table FILE``: the tables of a run, as Markdown."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Crowd, Pair, Reads, Report, from_json

NOTHING = "-"


def tables(result: dict[str, Any]) -> str:
    """Format the output of ``benchmarks.run`` and ``benchmarks.client``. Medians; slow results are kept."""
    reports = [from_json(r) for r in result["servers"]]
    machine, plan = result["machine"], result["plan"]
    about = (
        f"{machine['cpu']}, {machine['cores']} cores (shared with the client), {machine['memory_gb']} GB; "
        f"model {result['model']}, greedy, streamed. Load average before each: "
        + ", ".join(f"{r.name} {r.load:.1f}" for r in reports)
        + "."
    )
    crowd = f"{plan['readers']} readers of one hot document, {plan['crowd_tokens']} tokens each"
    return "\n\n".join(
        (
            about,
            "TTFT in ms, first reader -> next reader with another question (tokens from the cache):",
            reading(reports),
            f"{crowd}, beside one reader (first round / last round):",
            crowds(reports),
            "One stream on a tiny prompt, start-up, and whether a warm answer is the cold one:",
            others(reports),
            *faults(reports),
        )
    )


def reading(reports: Sequence[Report]) -> str:
    sizes = sorted({int(size) for r in reports for size in r.reads})
    rows = ([r.name, *(_read(r.reads.get(str(size))) for size in sizes)] for r in reports)
    return markdown(["server", *(f"{size:,} tokens" for size in sizes)], rows)


def crowds(reports: Sequence[Report]) -> str:
    header = ["server", "1 reader, s", "all, s", "all / 1", "tok/s of 1", "tok/s of all", "RSS MB 1 -> all"]
    return markdown(header, (_crowds(r) for r in reports))


def others(reports: Sequence[Report]) -> str:
    header = ["server", "ms per token", "TTFT, ms", "start, s", "warm = cold", "cold = cold", "cold by"]
    rows = (
        [
            r.title or r.name,
            _median(r.gap_ms, "{:.1f}"),
            _median(r.tiny_ms),
            NOTHING if r.start_s is None else f"{r.start_s:.0f}",
            _equal(r.pairs, [p.warm_differs_at is None for p in r.pairs]),
            _equal(r.pairs, [p.cold_differs_at is None for p in r.pairs if p.cold_asked_twice]),
            f"`{r.cold}`",
        ]
        for r in reports
    )
    return markdown(header, rows)


def faults(reports: Iterable[Report]) -> list[str]:
    """List missing figures with the reasons, and cold reads that were not cold."""
    lines = [f"- {r.name}, {stage}: {why}" for r in reports for stage, why in r.faults.items()]
    for r in reports:
        for size, reads in r.reads.items():
            if any(reads.cold_cached):
                most = max(c or 0 for c in reads.cold_cached)
                lines.append(f"- {r.name}, {size}: a cold read took {most} tokens from a cache")
    return ["Missing or not whole:\n\n" + "\n".join(lines)] if lines else []


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _read(reads: Reads | None) -> str:
    if reads is None or not reads.cold_ms:
        return NOTHING
    cached = [c for c in reads.warm_cached if c is not None]
    took = f" ({statistics.median_low(cached):,})" if cached else ""
    return f"{_median(reads.cold_ms)} -> {_median(reads.warm_ms)}{took}"


def _crowds(report: Report) -> list[str]:
    one = [c for c in report.crowds if c.readers == 1]
    many = [c for c in report.crowds if c.readers > 1]
    if not one or not many:
        return [report.name, *[NOTHING] * 6]
    # One reader's rounds find the same; the crowd's last is compared with the fastest of them.
    times = many[-1].wall_s / min(c.wall_s for c in one)
    rss = [_rss(one), _rss(many)]
    return [
        report.name,
        _ends(one, "wall_s", "{:.2f}"),
        _ends(many, "wall_s", "{:.2f}"),
        f"{times:.2f}",
        _ends(one, "tokens_per_s", "{:.1f}"),
        _ends(many, "tokens_per_s", "{:.1f}"),
        NOTHING if None in rss else f"{rss[0]:,.0f} -> {rss[1]:,.0f}",
    ]


def _rss(crowds: Sequence[Crowd]) -> float | None:
    held = [c.rss_mb for c in crowds if c.rss_mb is not None]
    return max(held) if held else None


def _ends(crowds: Sequence[Crowd], name: str, form: str) -> str:
    values = [form.format(getattr(c, name)) for c in crowds]
    return values[0] if len(values) == 1 else f"{values[0]} / {values[-1]}"


def _median(values: Sequence[float], form: str = "{:,.0f}") -> str:
    return form.format(statistics.median(values)) if values else NOTHING


def _equal(pairs: Sequence[Pair], equal: Sequence[bool]) -> str:
    return f"{sum(equal)} of {len(equal)}" if pairs and equal else NOTHING


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
