"""Tables of tariffs: prices for a million tokens, in the tariff's currency."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from kvproxy.core import format_nano
from kvproxy.terminal.tables import console

if TYPE_CHECKING:
    from kvproxy.tariffs import DocumentTerms, ModelPrices, Tariff
    from kvproxy.tariffs.tariff_history import TariffRecord


def print_tariffs(records: Iterable[TariffRecord], valid: Tariff | None) -> None:
    """Print the prices of each tariff, and of which the documents' terms; ``valid`` is marked."""
    from kvproxy.tariffs.tariff_file import format_time

    out = console()
    for record in records:
        told = record.tariff
        now = ", valid now" if valid is not None and told.id == valid.id else ""
        table = Table(
            "model",
            *("input", "cached input", "output", "publishing"),
            "MB-hour",
            title=f"from {format_time(told.valid_from_ms)}{now}: {told.currency} for a million tokens",
            title_justify="left",
        )
        for name, prices in sorted(told.models.items()):
            table.add_row(Text(name), *_amounts(prices))
        if told.default is not None:
            table.add_row("all others", *_amounts(told.default))
        out.print(table)
        out.print(
            Text(f"documents: {describe_terms(told.documents, told.currency)}; tariff {told.id[:12]}\n")
        )


def _amounts(prices: ModelPrices) -> list[str]:
    each = (prices.input, prices.cached_input, prices.output, prices.publishing, prices.storage_mb_hour)
    return [format_nano(nano) for nano in each]


def describe_terms(terms: DocumentTerms, currency: str) -> str:
    """Write terms for a person: ``30% of what a read saves, 80% of it the publisher's``."""
    from kvproxy.tariffs.terms_text import format_percent

    price = {
        "free": "free",
        "share": f"{format_percent(terms.share_ppm)} of what a read saves",
        "fixed": f"{format_nano(terms.nano_per_1000)} {currency} for a thousand tokens",
    }[terms.kind]
    if terms.kind != "free" or terms.text_readers == "full_price":
        price += f", {format_percent(terms.publisher_ppm)} of it the publisher's"
    if terms.text_readers == "full_price":
        price += "; who sends the text without a grant pays as for a cold read"
    return price
