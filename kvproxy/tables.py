"""What the command line prints as tables. Without a terminal they are as wide as they need to be."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from kvproxy.doctor import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def console() -> Console:
    """stdout; a log or a pipe gets lines that are never wrapped."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)


def print_documents(documents: Iterable[dict[str, Any]]) -> None:
    table = Table("document", "tokens", "characters", "visibility", "framings", "on disk")
    for d in documents:
        framings = ", ".join(f["name"] for f in d["framings"])
        size = sum(f["bytes"] for f in d["framings"]) / 2**20
        name = f"{d['id']}@{d['version']}" + ("" if d["current"] else " (old)")
        table.add_row(
            Text(name),
            f"{d['tokens']:,}",
            f"{d['characters']:,}",
            d["visibility"],
            framings,
            f"{size:.1f} MiB",
        )
    console().print(table)


def print_findings(findings: Iterable[Finding]) -> None:
    table = Table("", "check", "found", "what to do")
    for f in findings:
        table.add_row(Text(f.level, style=_STYLES[f.level]), Text(f.check), Text(f.what), Text(f.advice))
    console().print(table)


def print_verifications(rows: Iterable[dict[str, Any]]) -> None:
    table = Table(
        "document", "framing", "cached", "positions", "greedy", "argmax", "largest difference", "verdict"
    )
    for r in rows:
        compared = r["positions"] > 0
        difference = "-" if r["largest_difference"] is None else f"{r['largest_difference']:.6g}"
        table.add_row(
            Text(r["document"]),
            r["framing"],
            f"{r['cached_tokens']:,}",
            f"{r['positions']:,}",
            f"{r['equal_greedy']}/{r['greedy_tokens']}" if compared else "-",
            f"{r['equal_argmax']}/{r['positions']}" if compared else "-",
            "0.0" if difference == "0" else difference,
            Text("exact", style="green") if r["exact"] else Text(r["note"] or "DIFFERS", style="bold red"),
        )
    console().print(table)


def print_cold(result: dict[str, Any]) -> None:
    machine = result["machine"]
    table = Table(
        "prompt tokens",
        "kvproxy TTFT",
        "transformers TTFT",
        "ratio",
        title=f"{result['model']}, {result['dtype']}, {machine['cpu']}, {machine['threads']} threads",
    )
    for row in result["cold"]:
        table.add_row(
            f"{row['prompt_tokens']:,}",
            f"{row['kvproxy_s']:.3f} s",
            f"{row['transformers_s']:.3f} s",
            f"{row['ratio']:.2f}",
        )
    console().print(table)
