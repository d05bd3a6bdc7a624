"""Tables that the command line prints. Without a terminal they are as wide as they need to be."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from kvproxy.terminal.finding import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def console() -> Console:
    """stdout; a log or a pipe gets lines that are never wrapped."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)


def print_documents(documents: Iterable[dict[str, Any]]) -> None:
    """Print the table of ``kvproxy docs list``."""
    table = Table("document", "tokens", "characters", "visibility", "framings", "on disk")
    for d in documents:
        framings = ", ".join(f["name"] for f in d["framings"] if ":" not in f["name"])
        if (spellings := len(d.get("spellings", ()))) > 1:
            framings += f" in {spellings} spellings"
        size = sum(f["bytes"] for f in d["framings"]) / 2**20
        name = f"{d['id']}@{d['version']}" + ("" if d["current"] else " (old)")
        confined = d.get("quarantined") is not None
        name += "".join(f" @{alias}" for alias in d.get("aliases", ()))
        table.add_row(
            Text(name + " QUARANTINED", style="bold red") if confined else Text(name),
            f"{d['tokens']:,}",
            f"{d['characters']:,}",
            d["visibility"] + (", pinned" if d.get("pinned") else ""),
            framings,
            f"{size:.1f} MiB",
        )
    console().print(table)


def print_findings(findings: Iterable[Finding]) -> None:
    """Print the findings of ``kvproxy doctor``."""
    table = Table("", "check", "found", "what to do")
    for f in findings:
        table.add_row(Text(f.level, style=_STYLES[f.level]), Text(f.check), Text(f.what), Text(f.advice))
    console().print(table)


def print_verifications(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table of ``kvproxy verify``."""
    table = Table(
        "document",
        "framing",
        "cached",
        "pages equal",
        "positions",
        "logits equal",
        "greedy",
        "argmax",
        "largest difference",
        "verdict",
    )
    for r in rows:
        difference = "-" if r["largest_difference"] is None else f"{r['largest_difference']:.6g}"
        table.add_row(
            Text(r["document"]),
            r["framing"],
            f"{r['cached_tokens']:,}",
            _of(r["equal_pages"], r["pages"]),
            f"{r['positions']:,}",
            _of(r["equal_positions"], r["positions"]),
            _of(r["equal_greedy"], r["greedy_tokens"]),
            _of(r["equal_argmax"], r["positions"]),
            "0.0" if difference == "0" else difference,
            _verdict(r),
        )
    out = console()
    out.print(table)
    out.print(Text(summary(rows)))


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """One line over all verifications."""
    if not rows:
        return "nothing to verify: no documents are published"
    compared = [r for r in rows if not r["note"]]
    exact = sum(1 for r in compared if r["exact"])
    positions, pages = sum(r["positions"] for r in compared), sum(r["pages"] for r in compared)
    line = f"{exact} of {len(rows)} exact: {positions:,} positions and {pages:,} pages compared"
    missing = len(rows) - len(compared)
    return line + (f"; {missing} could not be compared" if missing else "")


def _of(equal: int, total: int) -> str:
    return f"{equal}/{total}" if total else "-"


def _verdict(row: dict[str, Any]) -> Text:
    if row["exact"]:
        return Text("exact", style="green")
    first = row["first_difference"]
    where = "" if first is None else f" from position {first:,} on"
    return Text(row["note"] or f"DIFFERS{where}", style="bold red")


def print_cold(result: dict[str, Any]) -> None:
    """Print the table of ``kvproxy bench cold``."""
    machine = result["machine"]
    table = Table(
        "prompt tokens",
        "kvproxy TTFT",
        "transformers TTFT",
        "ratio",
        title=f"{result['model']}, {result['dtype']}, {machine['cpu']}, {machine['threads']} threads",
        caption="The engine alone, without a proxy." if result["level"] == "engine" else None,
    )
    for row in result["cold"]:
        table.add_row(
            f"{row['prompt_tokens']:,}",
            f"{row['kvproxy_s']:.3f} s",
            f"{row['transformers_s']:.3f} s",
            f"{row['ratio']:.2f}",
        )
    console().print(table)
