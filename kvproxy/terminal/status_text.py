"""`status_text`: the screen of ``kvproxy status``: whether a proxy is ready, its models, its store, its figures."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kvproxy.terminal.figure_text import count_text, money_text, share_text, size_text, span_text, time_text


def status_text(
    url: str, reason: str | None, overview: dict[str, Any] | None, why: str = ""
) -> RenderableType:
    """Return the screen. ``reason``: why no request would be served, None where one would. ``why``: the reason that
    there is no overview.

    Example: ``console.print(status_text(url, None, client.overview()))``
    """
    head = Text.assemble((f"{url}  ", "bold"), ("ready", "green") if reason is None else (reason, "bold red"))
    if overview is None:
        return Group(head, Text(f"no figures: {why}", style="dim")) if why else head
    for part in overview["degraded"]:
        head.append(f"  without its {part}", style="yellow")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name, text in _rows(overview):
        table.add_row(name, text)
    return Group(head, table)


def _rows(overview: dict[str, Any]) -> list[tuple[str, str]]:
    recent = overview["recent"]
    rows = [
        ("version", f"{overview['version']}, up {span_text(overview['uptime_s'])}"),
        ("models", ", ".join(overview["models"]) or "none of its own"),
        ("documents", _published(overview["published"])),
        *_engine_rows(overview["engine"], overview["store"]),
        ("figures of", overview["tenant"] or "all tenants"),
        ("today", _sums(overview["today"])),
        ("in all", _sums(overview["total"])),
        ("TTFT, 2 h", f"hits {_ttft(recent['hit_ttft'])}; misses {_ttft(recent['miss_ttft'])}"),
    ]
    if recent["misses"]:
        causes = ", ".join(f"{cause} {count_text(number)}" for cause, number in recent["misses"].items())
        rows.append(("misses, 2 h", causes))
    return rows


def _published(published: dict[str, Any]) -> str:
    count = published["versions"]
    versions = f"{count_text(count)} version{'' if count == 1 else 's'}"
    if published["tokens"] is None:
        return versions
    return f"{versions} published, {count_text(published['tokens'])} tokens, {count_text(published['pages'])} pages"


def _engine_rows(engine: dict[str, Any] | None, store: list[dict[str, Any]] | None) -> list[tuple[str, str]]:
    if engine is None:
        return [("engine", "its state needs a key with the scope metrics")]
    rows = [("engine", f"running {engine['running']}, waiting {engine['waiting']}")]
    if budget := engine["page_budget"]:
        pages = engine["pages"]
        told = f"{count_text(pages.get('used', 0))} used, {count_text(pages.get('evictable', 0))} kept"
        rows.append(("KV pages", f"{told}, {count_text(pages.get('free', 0))} free of {count_text(budget)}"))
    rows += [(tier["name"], _tier(tier)) for tier in store or () if tier["name"] != "memory"]
    if audits := engine["audits"]:
        wrong = audits.get("failed", 0)
        rows.append(
            ("audits", f"{count_text(audits.get('passed', 0) + wrong)} done, {count_text(wrong)} wrong")
        )
    if engine["quarantined"]:
        rows.append(("quarantine", f"{count_text(engine['quarantined'])} document versions are not used"))
    return rows


def _tier(tier: dict[str, Any]) -> str:
    told = f"{count_text(tier['pages'])} pages"
    if tier["bytes"] is not None:
        told += f", {size_text(tier['bytes'])}"
    return told if tier["budget"] is None else f"{told} of {size_text(tier['budget'])}"


def _sums(sums: dict[str, Any]) -> str:
    told = f"{count_text(sums['requests'])} requests, {count_text(sums['cached_tokens'])} tokens skipped"
    if sums["hit_share"] is not None:
        told += f" ({share_text(sums['hit_share'])} of the prompts')"
    told += f", {span_text(sums['saved_s'])} saved"
    return f"{told}, {money_text(sums['saved'])}" if sums["saved"] else told


def _ttft(found: dict[str, Any]) -> str:
    if not found["count"]:
        return "none"
    return f"p50 {time_text(found['p50_s'])}, p99 {time_text(found['p99_s'])} of {count_text(found['count'])}"
