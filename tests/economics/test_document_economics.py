"""One document: each figure follows from the others, and the tariff's from the charges that a ledger books."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import NANO, DocumentTokens, MeteredTokens
from kvproxy.economics import host_margin
from kvproxy.economics.document_case import DocumentCase, MarketPrices, measured_size, tariff_of_list_prices
from kvproxy.economics.document_economics import document_report, publishing_nano, read_charge
from kvproxy.economics.economic_lines import EconomicReport
from kvproxy.tariffs import DocumentTerms, Tariff, charge
from tests.economics.cases import CASE, PRICES, TIMES


def value(report: EconomicReport, name: str) -> Fraction:
    found = report.line(name).value
    assert found is not None
    return found


def test_compute_is_of_the_machine() -> None:
    report = document_report(CASE)
    assert value(report, "cheaper from disk") == 80
    assert value(report, "compute of N cold reads") == Fraction(40 * 1000, 3600)
    assert value(report, "compute of N reuses") == Fraction(42 + 500, 3600)
    assert value(report, "break-even, compute") == Fraction(84, 79)
    assert value(report, "N reuses, machine") == Fraction(542, 3600) * NANO


def test_list_prices_and_shipping() -> None:
    report = document_report(CASE)
    one = value(report, "a cold read, list price")
    assert one == 4000 * 5 * NANO // 10**6
    assert value(report, "N reads by measured compute") == 1000 * one / 80
    egress = value(report, "egress of a read")
    assert value(report, "of the prefill it saves") == egress / one
    assert value(report, "lossless size that shipping needs") == 100 * one / egress
    assert value(report, "shipped lossless, of the prefill it saves") == egress * Fraction(7, 10) / one
    per_token = value(report, "KV for a token at break-even")
    at_break_even = document_report(replace(CASE, kv_bytes=int(per_token * 4000)))
    assert abs(value(at_break_even, "of the prefill it saves") - 1) < Fraction(1, 10**6)


def test_the_parties_divide_what_readers_pay() -> None:
    report = document_report(CASE)
    read = value(report, "a read")
    assert read == value(report, "publisher's share of a read") + value(report, "host's share of a read")
    once = value(report, "publishing, once")
    margins = value(report, "publisher's margin of N reads") + value(report, "host's income of N reads")
    assert margins == 1000 * read, "what the publisher pays once, the host receives"
    assert value(report, "host's margin of N reads") == value(report, "host's income of N reads") - value(
        report, "N reuses, machine"
    )
    even = value(report, "publisher's break-even")
    assert even * value(report, "publisher's share of a read") == once


def test_at_the_hour_of_no_margin_the_host_has_none() -> None:
    hour = value(document_report(CASE), "machine's hour at no margin")
    case = replace(CASE, prices=replace(CASE.prices, machine_hour=int(hour)))
    assert abs(value(document_report(case), "host's margin of N reads")) < NANO // 10**6


def test_storage_breaks_even_in_reads_a_day() -> None:
    report = document_report(CASE)
    day = value(report, "storage of a day")
    assert day == round(Fraction(4000 * 147_456, 10**6) * 24 * 32)
    share = value(report, "publisher's share of a read")
    assert value(report, "publisher's storage break-even") * share == day
    assert value(report, "storage break-even of all") < value(report, "publisher's storage break-even")


def test_a_free_document_never_pays_its_publisher() -> None:
    report = document_report(replace(CASE, terms=DocumentTerms()))
    assert report.line("publisher's break-even").value is None
    assert report.line("publisher's storage break-even").text("USD") == "never"


def test_without_measurements_there_are_no_measured_lines() -> None:
    report = document_report(replace(CASE, times=None))
    assert all("measured" not in line.basis for s in report.sections for line in s.lines)
    with pytest.raises(KeyError):
        report.line("break-even, compute")


def test_every_line_has_its_formula_and_source() -> None:
    lines = [line for section in document_report(CASE).sections for line in section.lines]
    assert len(lines) > 30 and all(line.formula and line.source for line in lines)
    names = [line.name for line in lines]
    assert len(set(names)) == len(names)


def test_free_egress_and_free_tokens_divide_by_nothing() -> None:
    free = replace(CASE.prices, input=0, egress_gb=0, machine_hour=None)
    tariff = replace(PRICES, input=0, cached_input=0, publishing=0)
    report = document_report(replace(CASE, prices=free, tariff=tariff))
    assert report.line("of the prefill it saves").value is None


def test_the_page_has_the_current_figures_of_the_measured_document() -> None:
    """Inputs are the figures of docs/benchmarks.md for 3,774 tokens of the 4B shape."""
    row = {"tokens": 3774, "prefill_s": 40.82, "publish_s": 42.55, "from_disk_s": 0.476, "resident_s": 0.144}
    result = {
        "model": "shape:qwen3-4b",
        "machine": {"cpu": "two cores"},
        "kv_bytes_per_token": 147_456,
        "sizes": [row | {"lossless_of_plain": 0.701}],
    }
    docs = Path(__file__).parents[2] / "docs"
    assert "| 3,774 | 40.82 s | 42.55 s | 0.476 s | 0.144 s |" in (docs / "benchmarks.md").read_text()
    size = measured_size(result, None)
    prices = MarketPrices()
    terms = DocumentTerms(kind="share", share_ppm=300_000)
    case = DocumentCase(
        "a document", size.tokens, 80_000_000, size.kv_bytes, prices, tariff_of_list_prices(prices)
    )
    report = document_report(replace(case, terms=terms, times=size.times))
    page = (docs / "economics.md").read_text(encoding="utf-8").partition("## The same document")[2]
    rows = [
        [cell.strip() for cell in line[1:-1].split("|")]
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    assert len(rows) > 15
    for name, told, formula, basis in rows[1:]:
        if name != "---":
            line = report.line(name)
            assert [told, formula, basis] == [line.text("USD"), line.formula, line.basis], name


@given(st.integers(1, 50_000), st.integers(1, 300), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_hosts_margin_in_a_ledger_is_what_is_computed(
    tokens: int, readers: int, share: int, part: int
) -> None:
    """Charges one by one, as requests are booked; the report multiplies one of them."""
    terms = DocumentTerms(kind="share", share_ppm=share, publisher_ppm=part)
    case = replace(CASE, tokens=tokens, readers=readers, terms=terms, times=TIMES)
    tariff = Tariff.of("USD", 0, {"any": PRICES})
    read = DocumentTokens("handbook@1", "e", "acme", tokens, terms.id)
    booked = [charge(MeteredTokens("any", tokens, tokens, 0, (read,)), tariff, {terms.id: terms})] * readers
    income = value(document_report(case), "host's income of N reads")
    assert host_margin(booked) + publishing_nano(case) == income
    assert read_charge(case).cost == booked[0].cost
