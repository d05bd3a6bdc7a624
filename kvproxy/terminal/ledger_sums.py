"""Tables of the ledger that the command line prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from kvproxy.core.money import format_nano
from kvproxy.terminal.tables import console


def print_sums(sums: Sequence[Mapping[str, Any]], by: str, currency: str) -> None:
    """Print the table of ``kvproxy ledger show``. ``sums``: ``Aggregate`` values as dicts.

    Example:
        ``print_sums(sums, "document", "USD")``
    """
    of_documents = by in ("publisher", "document")
    table = Table(by)
    names = ["requests", "cached tokens", f"paid, {currency}", "saved, " + currency, "prefill saved, s"]
    if of_documents:
        names.insert(3, f"publisher's, {currency}")
    else:
        names[1:1] = ["prompt tokens"]
        names[3:3] = ["answer tokens"]
    for name in names:
        table.add_column(name, justify="right")
    for one in sums:
        cells = [f"{one['requests']:,}"]
        if not of_documents:
            cells.append(f"{one['prompt_tokens']:,}")
        cells.append(f"{one['cached_tokens']:,}")
        if not of_documents:
            cells.append(f"{one['completion_tokens']:,}")
        cells.append(format_nano(one["nano"]))
        if of_documents:
            cells.append(format_nano(one["share"]))
        cells += [format_nano(one["saved_nano"]), f"{one['saved_us'] / 10**6:,.1f}"]
        table.add_row(Text(str(one["name"])), *cells)
    console().print(table)
