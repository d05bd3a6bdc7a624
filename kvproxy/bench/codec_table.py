"""Output of ``kvproxy bench codec``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console


def print_codec(result: Mapping[str, Any]) -> None:
    """Print codecs by type, and int8."""
    out = console()
    title = f"{result['tokens']:,} tokens of a document under {result['model']}, frames of one layer's K or V"
    columns = ("type", "codec", "ratio", "K", "V", "encode GB/s", "decode GB/s", "two threads")
    table = Table(*columns, title=title)
    last = ""
    for row in result["codecs"]:
        if last not in ("", row["dtype"]):
            table.add_section()
        ratios = (f"{row[name]:.3f}" for name in ("ratio", "ratio_k", "ratio_v"))
        speeds = (f"{row[name]:.2f}" for name in ("encode_gbs", "decode_gbs"))
        shown = "" if row["dtype"] == last else row["dtype"]
        table.add_row(shown, row["codec"], *ratios, *speeds, f"{row['two_threads']:.2f}x")
        last = row["dtype"]
    out.print(table)
    out.print(_notes(result), soft_wrap=True)
    out.print(_int8_table(result["int8"]))


def _notes(result: Mapping[str, Any]) -> str:
    needs = result["shipping_needs"]
    reached = "one reaches it" if result["reaches_shipping"] else "no lossless code here reaches it"
    return (
        "Plain bytes by CPU time of one core; two threads: their speed over one's, by the clock. Every bit came back. "
        f"+layer0: pages without the layer that the engine computes again from the token ids, its time included. "
        f"Not installed, not measured: {', '.join(result['not_measured'])}. Shipping KV instead of computing it would "
        f"need a ratio of {needs:g} at list prices; the best here is {result['best_ratio']:.3f}: {reached}."
    )


def _int8_table(rows: list[dict[str, Any]]) -> Table:
    columns = (
        "one scale for each",
        "ratio",
        "positions read",
        "other first choice",
        "largest difference",
        "equal tokens",
    )
    table = Table(*columns, title="int8 instead: what the reader of the document gets")
    for row in rows:
        table.add_row(
            f"{row['scale']} and page",
            f"{row['ratio']:.3f}",
            f"{row['positions']:,}",
            f"{row['other_argmax']:,}",
            f"{row['largest_difference']:.3g}",
            f"{row['equal_greedy']} of {row['greedy_tokens']}",
        )
    return table
