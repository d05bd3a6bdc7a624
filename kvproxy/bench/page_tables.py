"""Output of ``kvproxy bench pages`` and ``restart``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console


def print_pages(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench pages``."""
    out = console()
    table = Table(
        *(
            "pages",
            "cache",
            "threads",
            "read",
            "read + verify",
            "load",
            "KV",
            "a page",
            "of read",
            "of verify",
        ),
        box=None,
    )
    for row in result["rows"]:
        table.add_row(
            row["pages"],
            row["cache"],
            str(row["threads"]),
            *(f"{row[name]:.2f} GB/s" for name in ("read_gb_s", "verify_gb_s", "load_gb_s", "kv_gb_s")),
            f"{row['load_ms_per_page']:.2f} ms",
            *(f"{100 * row[name]:.0f} %" for name in ("of_read", "of_verify")),
        )
    out.print(table)
    layout = "the kernels' layout" if result["kernels_layout"] else "rows, for want of kernels"
    out.print(
        f"{result['pages']} pages of {result['page_bytes'] / 1e6:.1f} MB of KV, written to the pool in {layout}. "
        "read: the files into one buffer; verify: all checksums, nothing kept; load: as the engine does, to the pool's "
        "pages. GB/s of the files' bytes, KV: of what they decode to. cold: dropped from the system's cache before.",
        soft_wrap=True,
    )


def print_restart(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench restart``, in seconds."""
    out = console()
    table = Table(
        *(
            "restart",
            "model load",
            "listening",
            "first hit",
            "second hit",
            "start to first hit",
            "litellm's import",
        ),
        box=None,
    )
    rows = [(str(number), row) for number, row in enumerate(result["rows"], 1)]
    for name, row in [*rows, ("median", result["median"])]:
        table.add_row(name, *(f"{seconds:.2f} s" for seconds in row.values()))
    out.print(table)
    out.print(
        f"{result['model']}, a document of {result['document_tokens']:,} tokens. model load: of the whole start, until "
        "the weights are in memory and the kernels measured; hits: to the first token, from disk, then from memory. "
        "litellm is imported behind the first answer.",
        soft_wrap=True,
    )
