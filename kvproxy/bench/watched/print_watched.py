"""Output of ``kvproxy bench dashboard`` and ``kvproxy bench traces``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console

BAR_MS = 200.0


def print_dashboard_cost(result: Mapping[str, Any]) -> None:
    """Print the shares of a core of :func:`bench_dashboard`."""
    out = console()
    for title, part in (("under load", result["under_load"]), ("idle", result["idle"])):
        table = Table(
            *("of one core", "median", "each round"),
            title=f"{title}: {part['requests_per_s']:g} requests/s, {part['events_per_s']:g} fragments/s to five views",
        )
        for name, share in part["of_a_core"].items():
            table.add_row(name, f"{share:.2%}", " ".join(f"{one:.2%}" for one in part["shares"][name]))
        out.print(table)
        out.print(f"Nobody looks: {_more(part['closed_more'])}. Five views open: {_more(part['open_more'])}.")
    out.print(_machine(result), soft_wrap=True)


def print_lists(result: Mapping[str, Any]) -> None:
    """Print the lists of :func:`bench_lists`."""
    out = console()
    for visibility, rows in result["libraries"].items():
        columns = ("list", "tenant", "first", "p50", "p99", "CPU", "stall", "KiB")
        title = (
            f"{result['documents']:,} {visibility} documents; milliseconds, p50 and p99 of {result['times']}"
        )
        table = Table(*columns, title=title)
        first: Mapping[str, Any] | None = None
        for row in rows:
            if row.get("first"):
                first = row
                continue
            begun = row if first is None else first
            table.add_row(
                *(
                    row["case"],
                    row["tenant"],
                    f"{begun['p50']:.1f}",
                    f"{row['p50']:.1f}",
                    f"{row['p99']:.1f}",
                ),
                *(f"{row['cpu_ms']:.1f}", f"{max(row['stall_ms'], begun['stall_ms']):.1f}"),
                f"{row['bytes'] / 1024:.0f}",
            )
        out.print(table)
        slow = [row for row in rows if row["p99"] > BAR_MS]
        worst = max(rows, key=lambda row: float(row["p99"]))
        out.print(
            f"Slowest: {worst['p99']:.1f} ms, {worst['case']} for {worst['tenant']}; above {BAR_MS:.0f} ms: "
            f"{len(slow)} of {len(rows)}. Longest stall: {max(row['stall_ms'] for row in rows):.1f} ms.",
            soft_wrap=True,
        )
    out.print(_machine(result), soft_wrap=True)


def print_trace_cost(result: Mapping[str, Any]) -> None:
    """Print the processor time of a request of :func:`bench_traces`."""
    out = console()
    table = Table("traces", "CPU of a request", "of that without", "each round", title="milliseconds")
    for name, row in result["traces"].items():
        each = " ".join(f"{one:.3f}" for one in row["each_ms"])
        table.add_row(name, f"{row['cpu_ms']:.3f}", f"{row['ratio']:.3f}", each)
    out.print(table)
    out.print(f"{result['bytes_of_spans']:,} bytes of spans arrived. {_machine(result)}", soft_wrap=True)


def _more(difference: Mapping[str, float]) -> str:
    return f"{difference['median']:+.2%} ({difference['least']:+.2%} to {difference['greatest']:+.2%})"


def _machine(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}."
