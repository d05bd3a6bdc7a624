"""The table of ``kvproxy docs terms``: prices of a document, the earliest first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console


def print_terms(found: dict[str, Any]) -> None:
    """Print what a publisher has chosen for a document, and mark what counts now."""
    if not found["history"]:
        console().print(
            f"{found['publisher']} has set no terms for {found['document']}: the host's count.", markup=False
        )
        return
    table = Table(f"{found['document']} from", "price", "publisher's part", "text senders", "licence", "")
    for chosen in found["history"]:
        table.add_row(
            datetime.fromtimestamp(chosen["valid_from_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            price_text(chosen),
            chosen["publisher_share"],
            chosen["text_readers"].replace("_", " "),
            chosen["licence"],
            "now" if chosen == found["current"] else "",
        )
    console().print(table)


def price_text(chosen: dict[str, Any]) -> str:
    """Write a price for people: ``25% of what a read saves``, ``0.02 USD for 1,000 tokens``, ``free``."""
    if chosen["kind"] == "share":
        return f"{chosen['share']} of what a read saves"
    if chosen["kind"] == "fixed":
        return f"{chosen['per_1000']['amount']} {chosen['per_1000']['currency']} for 1,000 tokens"
    return "free"
