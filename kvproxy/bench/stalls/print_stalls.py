"""Output of ``kvproxy bench stall``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from kvproxy.terminal.tables import console


def stall_line(row: Mapping[str, Any]) -> str:
    """One case in one line, for a terminal while the others run."""
    return (
        f"{row['case']}: {row['stall_ms']:,.1f} ms (loop's CPU {row['loop_cpu_ms']:,.1f}, garbage collector "
        f"{row['collecting_ms']:,.1f}), {row['status'][:40]} after {row['seconds']:.2f} s"
    )


def print_stalls(result: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
    """``before``: another result, to which this one's stalls are compared."""
    out = console()
    plan, quiet = result["plan"], result["quiet"]
    earlier = {row["case"]: row for row in before["cases"]} if before is not None else {}
    columns = ["case", "MiB", "answer", "seconds", "longest stall", "loop's CPU", "collector"]
    columns += ["before", "before / now"] if before is not None else []
    table = Table(
        *columns,
        title=f"{plan['streams']} streams, a library of {plan['documents']:,} documents; stalls in milliseconds",
    )
    for row in result["cases"]:
        cells = [
            row["case"],
            f"{row['bytes'] / 2**20:.1f}",
            escape(row["status"][:40]),
            f"{row['seconds']:.2f}",
            f"{row['stall_ms']:,.1f}",
            f"{row['loop_cpu_ms']:,.1f}",
            f"{row['collecting_ms']:,.1f}",
        ]
        if before is not None:
            then = earlier.get(row["case"])
            cells += (
                ["", ""]
                if then is None
                else [f"{then['stall_ms']:,.1f}", f"{then['stall_ms'] / row['stall_ms']:.1f}"]
            )
        table.add_row(*cells)
    out.print(table)
    worst = max(result["cases"], key=lambda row: row["stall_ms"])
    ratio = worst["stall_ms"] / max(quiet["stall_ms"], 0.01)
    out.print(
        f"Longest: {worst['stall_ms']:,.1f} ms at {worst['case']} ({ratio:.1f} times that of the streams alone, "
        f"{quiet['stall_ms']:,.1f} ms).",
        soft_wrap=True,
    )
    if worst["running"]:
        out.print(f"What ran: {escape(worst['running'])}", soft_wrap=True)
