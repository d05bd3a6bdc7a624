"""`print_tiers`: the table of ``kvproxy bench tiers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console


def print_tiers(result: Mapping[str, Any]) -> None:
    """Print a row for each step, plain and encrypted beside each other."""
    out = console()
    table = Table("step", "plain", "CPU", "encrypted", "CPU", "plain", "encrypted", box=None)
    rows = {(row["what"], row["sealed"]): row for row in result["rows"]}
    size = result["page_bytes"]
    for what in dict.fromkeys(what for what, _ in rows):
        both = [rows[what, sealed] for sealed in (False, True)]
        times = [f"{1000 * row[name]:.1f} ms" for row in both for name in ("wall_s", "cpu_s")]
        table.add_row(what, *times, *(f"{size / row['wall_s'] / 1e9:.2f} GB/s" for row in both))
    out.print(table)
    out.print(
        f"{result['pages']} pages of {size / 1e6:.1f} MB at {result['url']}; a page, medians. What is loaded is "
        "verified whole. CPU: of all threads of this process.",
        soft_wrap=True,
    )
