"""`top_frame`: one frame of ``kvproxy top``, from an overview and the newest requests. 80 columns are enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kvproxy.terminal.figure_text import (
    bars,
    count_text,
    money_text,
    share_text,
    span_text,
    time_text,
)

WIDE = 110
"""Columns from which sums and times stand beside each other."""

_SUMS = 52
"""Columns of the sums, with the gap behind them."""

_STYLES = {"hit": "green", "miss": "yellow", "refused": "bold red", "left": "dim", "bypass": "cyan"}


def top_frame(overview: dict[str, Any], newest: Sequence[dict[str, Any]], width: int) -> RenderableType:
    """Return the frame. ``newest``: requests, or of all tenants misses, newest first.

    Example: ``console.print(top_frame(client.overview(), client.ended(last=10), console.width))``
    """
    sums, times = _sums(overview), Group(_times(overview), _state(overview, _state_width(width)))
    body: RenderableType = Group(sums, "", times)
    if width >= WIDE:
        beside = Table.grid(padding=(0, 4))
        beside.add_row(sums, times)
        body = beside
    return Group(
        _head(overview), "", body, "", _minutes(overview, width), _causes(overview), "", *_newest_rows(newest)
    )


def _state_width(width: int) -> int:
    return width - _SUMS if width >= WIDE else width


def _head(overview: dict[str, Any]) -> Text:
    ready = bool(overview["ready"])
    told = Text(f"kvproxy {overview['version']}  ", style="bold")
    told.append(
        "ready" if ready else f"not ready: {overview['reason']}", style="green" if ready else "bold red"
    )
    for part in overview["degraded"]:
        told.append(f"  without its {part}", style="yellow")
    told.append(
        f"  {', '.join(overview['models']) or 'no model'}  up {span_text(overview['uptime_s'])}", style=""
    )
    told.append(f"  {overview['tenant'] or 'all tenants'}", style="cyan")
    told.append(f"  {time.strftime('%H:%M:%S', time.localtime(overview['at']))}", style="dim")
    return told


def _sums(overview: dict[str, Any]) -> Table:
    today, total = overview["today"], overview["total"]
    table = Table.grid(padding=(0, 3))
    table.add_column(min_width=16)
    table.add_column(justify="right", min_width=12)
    table.add_column(justify="right", min_width=14)
    table.add_row("", Text("today", style="bold"), Text("in all", style="bold"))
    rows: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
        ("requests", lambda sums: count_text(sums["requests"])),
        ("hits, misses", lambda sums: f"{count_text(sums['hits'])}, {count_text(sums['misses'])}"),
        ("tokens skipped", lambda sums: count_text(sums["cached_tokens"])),
        ("  of the prompts'", lambda sums: share_text(sums["hit_share"])),
        ("prefill saved", lambda sums: span_text(sums["saved_s"])),
        ("money saved", lambda sums: money_text(sums["saved"])),
    )
    for name, text in rows:
        style = "bold green" if name == "tokens skipped" else ""
        table.add_row(name, Text(text(today), style=style), Text(text(total), style=style))
    return table


def _times(overview: dict[str, Any]) -> Table:
    recent = overview["recent"]
    table = Table.grid(padding=(0, 3))
    table.add_column(min_width=16)
    for width in (8, 8, 7):
        table.add_column(justify="right", min_width=width)
    heads = (f"last {recent['seconds'] // 3600} h", "TTFT p50", "p99", "count")
    table.add_row(*(Text(head, style="bold") for head in heads))
    for name, style in (("hit", "green"), ("miss", "yellow")):
        found = recent[f"{name}_ttft"]
        cells = (time_text(found["p50_s"]), time_text(found["p99_s"]), count_text(found["count"]))
        table.add_row(Text("hits" if name == "hit" else "misses", style=style), *cells)
    return table


def _state(overview: dict[str, Any], width: int) -> RenderableType:
    if (engine := overview["engine"]) is None:
        return Text("the engine's state needs a key with the scope metrics", style="dim")
    pages, budget, audits = engine["pages"], engine["page_budget"], engine["audits"]
    lines = [Text(f"running {engine['running']}, waiting {engine['waiting']}")]
    if budget:
        used, kept = pages.get("used", 0), pages.get("evictable", 0)
        filled = round(20 * (used + kept) / budget)
        bar = "█" * round(20 * used / budget)
        told = Text(f"pages   {bar}{'▒' * (filled - len(bar))}{'·' * (20 - filled)}  ")
        told.append(f"{count_text(used)} used, {count_text(kept)} kept of {count_text(budget)}")
        lines.append(told)
    if audits:
        wrong = audits.get("failed", 0)
        told = Text(f"audits  {count_text(audits.get('passed', 0) + wrong)} done, ")
        told.append(f"{wrong} wrong", style="bold red" if wrong else "green")
        lines.append(told)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def _minutes(overview: dict[str, Any], width: int) -> Text:
    series = overview["series"]
    label = "skipped a minute "
    row = bars([point["cached_tokens"] for point in series], max(10, width - len(label) - 16))
    most = max((point["cached_tokens"] for point in series), default=0)
    return Text.assemble(label, (row, "green"), f" {count_text(most)}" if most else " nothing lately")


def _causes(overview: dict[str, Any]) -> Text:
    told = Text("misses by cause  ")
    for cause, number in overview["recent"]["misses"].items():
        told.append(f"{cause} ", style="yellow")
        told.append(f"{count_text(number)}  ")
    return told if overview["recent"]["misses"] else told.append("none")


def _newest_rows(newest: Sequence[dict[str, Any]]) -> list[RenderableType]:
    if not newest:
        return [Text("no request has ended yet", style="dim")]
    told = "newest requests" if "outcome" in newest[0] else "newest misses"
    return [Text(told, style="bold"), _newest(newest)]


def _newest(newest: Sequence[dict[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    # Misses have no outcome: of another tenant, or of all, only they are told.
    misses = bool(newest) and "outcome" not in newest[0]
    heads = (
        "time",
        "",
        "cached of prompt",
        "TTFT",
        "tenant, document, cause" if misses else "document, cause",
    )
    table.add_row(*(Text(head, style="bold") for head in heads))
    for entry in newest:
        outcome = str(entry.get("outcome", "miss"))
        moment = time.strftime("%H:%M:%S", time.localtime(entry["at"]))
        about = Text(_about(entry), style="dim")
        table.add_row(
            moment, Text(outcome, style=_STYLES.get(outcome, "")), _taken(entry), _ttft(entry), about
        )
    return table


def _taken(entry: dict[str, Any]) -> str:
    if entry["prompt_tokens"] is None:
        return ""
    cached = entry["cached_tokens"]
    return f"{'?' if cached is None else count_text(cached)} of {count_text(entry['prompt_tokens'])}"


def _ttft(entry: dict[str, Any]) -> str:
    return "" if entry["ttft_s"] is None else time_text(entry["ttft_s"])


def _about(entry: dict[str, Any]) -> str:
    who = entry.get("tenant") if "outcome" not in entry else None
    told = [who, entry["document"], entry["cause"] or entry["reason"]]
    return " ".join(part for part in told if part)
