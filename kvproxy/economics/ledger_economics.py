"""Reads that a ledger has booked, beside what the tariff says for the same tokens."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Protocol

from kvproxy.core import Charge
from kvproxy.economics.economic_lines import EconomicLine, EconomicSection, Unit


def host_margin(charges: Iterable[Charge]) -> int:
    """Return the nano-units that the host keeps of ``charges``: their costs without the publishers' shares.

    Charges computed from a tariff and token counts give what the ledger's account ``host`` has of the same reads.
    """
    return sum(
        charge.cost - sum(document.publisher_share for document in charge.documents) for charge in charges
    )


class DocumentSums(Protocol):
    """Sums of a ledger over the reads of one document."""

    @property
    def requests(self) -> int:
        """Number of reads."""
        ...

    @property
    def cached_tokens(self) -> int:
        """Tokens of the document that came from kept pages."""
        ...

    @property
    def nano(self) -> int:
        """Paid for them."""
        ...

    @property
    def share(self) -> int:
        """The publisher's part of it."""
        ...

    @property
    def saved_nano(self) -> int:
        """Below the cold price of the same tokens."""
        ...

    @property
    def saved_us(self) -> int:
        """Microseconds of prefill that were saved."""
        ...


def ledger_section(sums: DocumentSums, days: Fraction | None = None) -> EconomicSection:
    """Return what the ledger says about a document's reads. ``days``: the time that the sums are of."""
    source = "the ledger: kvproxy ledger show --by document"
    found: list[tuple[str, Fraction, Unit, str]] = [
        ("reads booked", Fraction(sums.requests), "reads", "rows of the document"),
        ("cached tokens booked", Fraction(sums.cached_tokens), "tokens", "sum over its reads"),
        ("paid by readers", Fraction(sums.nano), "money", "sum of the prices of its tokens"),
        ("publisher's share booked", Fraction(sums.share), "money", "sum of publisher shares"),
        (
            "host's share booked",
            Fraction(sums.nano - sums.share),
            "money",
            "paid by readers - publisher's share",
        ),
        ("saved by readers", Fraction(sums.saved_nano), "money", "sum of cold prices - sum of prices"),
        ("prefill saved", Fraction(sums.saved_us, 3600 * 10**6), "hours", "sum of saved seconds"),
    ]
    if days:
        found.append(
            ("reads a day, booked", sums.requests / days, "reads a day", f"reads / {float(days):.2f} days")
        )
    lines = tuple(
        EconomicLine(name, value, unit, formula, source, "ledger") for name, value, unit, formula in found
    )
    return EconomicSection("What the ledger has booked", lines)
