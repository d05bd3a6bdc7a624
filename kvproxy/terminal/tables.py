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
            d["visibility"] + _pinned(d.get("pinned")),
            framings,
            f"{size:.1f} MiB",
        )
    console().print(table)


def _pinned(pinned: object) -> str:
    return f", pinned ({pinned})" if isinstance(pinned, str) else ", pinned" if pinned else ""


def print_findings(findings: Iterable[Finding]) -> None:
    """Print the findings of ``kvproxy doctor``."""
    table = Table("", "check", "found", "what to do")
    for f in findings:
        table.add_row(Text(f.level, style=_STYLES[f.level]), Text(f.check), Text(f.what), Text(f.advice))
    console().print(table)


def print_verifications(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table of ``kvproxy verify``. A fleet's pages and logits cannot be seen: it has no columns of them."""
    of_fleet = any(r.get("agreement") for r in rows)
    out = console()
    out.print(_agreement_table(rows) if of_fleet else _exactness_table(rows))
    out.print(Text(agreement_summary(rows) if of_fleet else summary(rows)))


def _exactness_table(rows: Sequence[dict[str, Any]]) -> Table:
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
        table.add_row(
            Text(r["document"]),
            r["framing"],
            f"{r['cached_tokens']:,}",
            _of(r["equal_pages"], r["pages"]),
            f"{r['positions']:,}",
            _of(r["equal_positions"], r["positions"]),
            _of(r["equal_greedy"], r["greedy_tokens"]),
            _of(r["equal_argmax"], r["positions"]),
            _difference(r),
            _verdict(r),
        )
    return table


def _agreement_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("document", "framing", "cached", "of prompt", "greedy", "largest difference", "verdict")
    for r in rows:
        prompt = (r.get("agreement") or {}).get("prompt_tokens")
        table.add_row(
            Text(r["document"]),
            r["framing"],
            f"{r['cached_tokens']:,}",
            "-" if prompt is None else f"{prompt:,}",
            _of(r["equal_greedy"], r["greedy_tokens"]),
            _difference(r),
            _verdict(r),
        )
    return table


def _difference(row: dict[str, Any]) -> str:
    found = row["largest_difference"]
    return "-" if found is None else f"{found:.6g}" if found else "0.0"


def agreed(row: dict[str, Any]) -> bool:
    """Return whether a comparison is of a fleet's answers, and all of their greedy tokens are the same."""
    return bool((row.get("agreement") or {}).get("agrees"))


def agreement_summary(rows: Sequence[dict[str, Any]]) -> str:
    """One line over all comparisons of a fleet's answers, which are never exact."""
    compared = [r for r in rows if not r["note"]]
    agree = sum(1 for r in compared if r["agreement"]["agrees"])
    equal, tokens = sum(r["equal_greedy"] for r in compared), sum(r["greedy_tokens"] for r in compared)
    known = [r["largest_difference"] for r in compared if r["largest_difference"] is not None]
    far = f", largest logprob difference {max(known):.6g}" if known else ""
    line = (
        f"{agree} of {len(rows)} agree: greedy tokens equal {equal} of {tokens}{far}; a fleet is never exact"
    )
    missing = len(rows) - len(compared)
    return line + (f"; {missing} could not be compared" if missing else "")


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
    if (agreement := row.get("agreement")) is not None and not row["note"]:
        where = f" at {agreement['replica']}" if agreement["replica"] else ""
        agrees = agreement["agrees"]
        return Text(f"{'agrees' if agrees else 'DIFFERS'}{where}", style="green" if agrees else "bold red")
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
