"""The table of `kvproxy publish` for many texts: a row for each that was published or failed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from kvproxy.terminal.tables import console

_STYLES = {"failed": "bold red", "published": "green"}


def print_results(rows: Sequence[tuple[str, str, str, str, int]]) -> None:
    """Print source, id, outcome, note and tokens; unchanged ones are counted by the line below the table alone.

    Example: ``print_results([("docs/a.md", "a", "published", "a@1 in 2.0 s", 812)])``
    """
    table = Table("source", "document", "outcome", "tokens", "note")
    for where, id, outcome, note, tokens in rows:
        if outcome != "unchanged":
            shown = Text(outcome, style=_STYLES.get(outcome, ""))
            table.add_row(Text(where), Text(id), shown, f"{tokens:,}" if tokens else "", Text(note))
    if table.row_count:
        console().print(table)
