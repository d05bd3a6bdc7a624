"""The table of learned documents: how long they are, how often they were read, and what that saved."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from kvproxy.terminal.tables import console


def print_learned(documents: Iterable[Mapping[str, Any]]) -> None:
    """Print learned documents as the API lists them, the one that saves most first.

    Example: ``print_learned(client.documents(learned=True))``
    """
    found = sorted(documents, key=lambda d: -d["saved_tokens"])
    if not found:
        console().print(
            Text("nothing was learned yet; a text of some length is, once two requests have begun with it"),
            soft_wrap=True,
        )
        return
    table = Table("document", "tokens", "reads", "saved tokens", "last read")
    for column in table.columns[1:4]:
        column.justify = "right"
    for d in found:
        read = time.strftime("%Y-%m-%d %H:%M", time.localtime(d["last_read"])) if d["last_read"] else "never"
        cells = (d["id"], f"{d['tokens']:,}", f"{d['reads']:,}", f"{d['saved_tokens']:,}", read)
        table.add_row(*map(Text, cells))
    console().print(table)
    console().print(Text("kvproxy docs promote ID --as NAME publishes one under a name of its own"))
