"""Booked sums of a ledger, beside the tariff."""

from __future__ import annotations

from fractions import Fraction

from kvproxy.core import Charge, DocumentCharge, DocumentTokens
from kvproxy.economics import host_margin
from kvproxy.economics.ledger_economics import ledger_section
from kvproxy.ledger.ledger_reading import Aggregate

SUMS = Aggregate(
    name="d@1",
    requests=4,
    prompt_tokens=0,
    cached_tokens=400,
    completion_tokens=0,
    nano=1000,
    share=300,
    saved_nano=5000,
    saved_us=7_200_000_000,
)


def test_the_host_keeps_what_publishers_do_not_get() -> None:
    read = DocumentTokens("d@1", "e", "p", 1, "t")
    two = (DocumentCharge(read, 7, 3), DocumentCharge(read, 5, 2))
    assert host_margin([Charge("USD", 20, 30, 15, two, "t"), Charge("USD", 1, 1, 1, (), "t")]) == 16
    assert host_margin([]) == 0


def test_sums_of_a_ledger_are_shown() -> None:
    lines = {line.name: line for line in ledger_section(SUMS, Fraction(2)).lines}
    assert lines["host's share booked"].value == 700
    assert lines["prefill saved"].value == 2 and lines["prefill saved"].unit == "hours"
    assert lines["reads a day, booked"].value == 2
    assert "reads a day, booked" not in [line.name for line in ledger_section(SUMS).lines]
