"""The economics of one document: cold, reused where it is hosted, shipped, at a tariff, and in storage."""

from __future__ import annotations

from fractions import Fraction

from kvproxy.core import Charge, DocumentTokens, MeteredTokens
from kvproxy.economics.document_case import DocumentCase, ReadTimes
from kvproxy.economics.economic_lines import Basis, EconomicReport, EconomicSection, SectionLines, short
from kvproxy.economics.read_costs import (
    break_even_bytes_per_token,
    break_even_reads,
    egress_nano,
    machine_nano,
    needed_part,
    prefill_nano,
)
from kvproxy.tariffs import Tariff, charge, publishing_charge, storage_charge

HYBRID_FACTORS = (13, 36)
"""The factors by which hybrid models, with full attention in few of their layers, keep less KV for a token."""

DAY_MS = 86_400_000

DENSE_NOTE = (
    "Of dense attention. Hybrid models, with full attention in few of their layers, keep 13 to 36 times less KV for a "
    "token: divide the factors by as much."
)


def document_report(case: DocumentCase) -> EconomicReport:
    """Compute everything about one document."""
    sections = [_inputs(case)]
    if case.times is not None:
        sections.append(_compute(case, case.times))
    sections += [_list_prices(case), _shipped(case), _at_the_tariff(case), _storage(case)]
    title = f"{case.name}: {case.tokens:,} tokens, {case.readers:,} readers"
    return EconomicReport(title, case.prices.currency, tuple(sections))


def read_charge(case: DocumentCase) -> Charge:
    """Return what one read of the whole document costs by the tariff, as the ledger would book it."""
    read = DocumentTokens(case.name, "", "publisher", case.tokens, case.terms.id)
    metered = MeteredTokens("m", case.tokens, case.tokens, 0, (read,))
    return charge(metered, _tariff(case), {case.terms.id: case.terms})


def publishing_nano(case: DocumentCase) -> int:
    """Return the price of publishing the document once."""
    return publishing_charge("m", case.tokens, _tariff(case)).cost


def _tariff(case: DocumentCase) -> Tariff:
    return Tariff.of(case.prices.currency, 0, {"m": case.tariff})


def _inputs(case: DocumentCase) -> EconomicSection:
    lines = SectionLines(case.size_source, "input")
    lines.add("tokens", case.tokens, "tokens", "the document's tokens")
    lines.add("readers", case.readers, "reads", "N", source=case.readers_source)
    lines.add("KV", case.kv_bytes, "bytes", f"{short(Fraction(case.kv_bytes, case.tokens))} B x tokens")
    return lines.section("The document")


def _compute(case: DocumentCase, times: ReadTimes) -> EconomicSection:
    """Seconds of the machine that was measured: no price is in them."""
    lines, n = SectionLines(times.source, "measured"), case.readers
    cold = lines.add("prefill", times.prefill_s, "seconds", "time to the first token, cold")
    disk = lines.add("read from disk", times.disk_s, "seconds", "time to the first token, pages from disk")
    if times.load_s is not None:
        lines.add("of it loading", times.load_s, "seconds", "pages from disk to the pool")
    lines.add("read from memory", times.resident_s, "seconds", "time to the first token, pages in the pool")
    once = lines.add("publishing", times.publish_s, "seconds", "prefill once, and write the pages")
    lines.add("cheaper from disk", cold / disk, "times", "prefill / read from disk")
    lines.add("cheaper from memory", cold / times.resident_s, "times", "prefill / read from memory")
    all_cold = lines.add("compute of N cold reads", n * cold / 3600, "hours", "N x prefill")
    reused = lines.add(
        "compute of N reuses", (once + n * disk) / 3600, "hours", "publishing + N x read from disk"
    )
    lines.add("saved by hosting", all_cold / reused, "times", "compute of N cold reads / compute of N reuses")
    even = break_even_reads(once, cold, disk)
    lines.add("break-even, compute", even, "reads", "publishing / (prefill - read from disk)")
    if (hour := case.prices.machine_hour) is not None:
        basis: Basis = "list price and measured"
        price = f"{short(Fraction(hour, 10**9))} {case.prices.currency} an hour"
        lines.add(
            "N cold reads, machine", machine_nano(n * cold, hour), "money", f"N x prefill, {price}", basis
        )
        lines.add(
            "N reuses, machine",
            machine_nano(once + n * disk, hour),
            "money",
            f"publishing + N reads, {price}",
            basis,
        )
    return lines.section("Compute, on the machine that was measured")


def _list_prices(case: DocumentCase) -> EconomicSection:
    lines, n, prices = SectionLines("list price of an API: --price", "list price"), case.readers, case.prices
    one = lines.add(
        "a cold read, list price",
        prefill_nano(case.tokens, prices.input),
        "money",
        f"{case.tokens:,} tokens x {short(Fraction(prices.input, 10**9))} / 10^6",
    )
    cold = lines.add("N cold reads, list price", n * one, "money", "N x a cold read")
    lines.add(
        "N reads at a tenth", n * one / 10, "money", "N x a cold read / 10: the usual price of cached tokens"
    )
    if case.times is not None:
        ratio = case.times.prefill_s / case.times.disk_s
        lines.add(
            "N reads by measured compute",
            cold / ratio,
            "money",
            f"N cold reads / {short(ratio)}: a list price scaled by measured seconds",
            "list price and measured",
        )
    return lines.section("List prices: what an API asks, not what the computation costs it")


def _shipped(case: DocumentCase) -> EconomicSection:
    lines, prices = (
        SectionLines("list price of a cloud: --egress; of an API: --price", "list price"),
        case.prices,
    )
    rate = f"{short(Fraction(prices.egress_gb, 10**9))} a GB"
    egress = lines.add(
        "egress of a read",
        egress_nano(case.kv_bytes, prices.egress_gb),
        "money",
        f"{case.kv_bytes:,} B x {rate}",
    )
    saved = prefill_nano(case.tokens, prices.input)
    lines.add(
        "of the prefill it saves",
        egress / saved if saved else None,
        "times",
        "egress / a cold read, list price",
    )
    lines.add("N reads shipped", case.readers * egress, "money", "N x egress of a read")
    part = needed_part(saved, egress)
    lines.add(
        "lossless size that shipping needs",
        None if part is None else 100 * part,
        "percent",
        "a cold read / egress: of the plain size",
    )
    lines.add(
        "KV for a token at break-even",
        break_even_bytes_per_token(prices.input, prices.egress_gb),
        "bytes",
        "price of a token / price of a byte",
    )
    if case.times is not None:
        _lossless(lines, case.times, egress, saved)
    return lines.section("Shipped to the reader", DENSE_NOTE)


def _lossless(lines: SectionLines, times: ReadTimes, egress: Fraction, saved: Fraction) -> None:
    part, source = times.lossless, times.source
    name = "lossless size, measured"
    lines.add(name, 100 * part, "percent", "zlib over byte planes", "measured", source=source)
    lines.add(
        "shipped lossless, of the prefill it saves",
        egress * part / saved if saved else None,
        "times",
        "egress x lossless size / a cold read",
        "list price and measured",
    )


def _at_the_tariff(case: DocumentCase) -> EconomicSection:
    lines, n = SectionLines(case.tariff_source, "tariff"), case.readers
    read, once = read_charge(case), publishing_nano(case)
    share = read.cost - read.host_share
    lines.add("a read", read.cost, "money", "tokens x cached_input / 10^6 + the publisher's price")
    lines.add("the same, cold", read.cold_cost, "money", "tokens x input / 10^6")
    lines.add("a reader saves", read.saved, "money", "cold - a read")
    lines.add("publisher's share of a read", share, "money", "publisher's price x its part, rounded down")
    lines.add("host's share of a read", read.host_share, "money", "a read - publisher's share")
    lines.add("publishing, once", once, "money", "tokens x publishing / 10^6, paid by the publisher")
    lines.add(
        "publisher's margin of N reads", n * share - once, "money", "N x publisher's share - publishing"
    )
    even = break_even_reads(Fraction(once), Fraction(share), Fraction(0))
    lines.add("publisher's break-even", even, "reads", "publishing / publisher's share of a read")
    income = lines.add(
        "host's income of N reads", n * read.host_share + once, "money", "N x host's share + publishing"
    )
    if case.times is not None:
        spent = case.times.publish_s + n * case.times.disk_s
        basis: Basis = "tariff and measured"
        if (hour := case.prices.machine_hour) is not None:
            margin = income - machine_nano(spent, hour)
            lines.add("host's margin of N reads", margin, "money", "income - N reuses, machine", basis)
        lines.add(
            "machine's hour at no margin",
            income / (spent / 3600),
            "money",
            "host's income / compute of N reuses",
            basis,
        )
    return lines.section("At the tariff: hosted")


def _storage(case: DocumentCase) -> EconomicSection:
    lines = SectionLines(case.tariff_source, "tariff")
    read = read_charge(case)
    day = lines.add(
        "storage of a day",
        storage_charge("m", case.kv_bytes * DAY_MS, _tariff(case)).cost,
        "money",
        f"{case.kv_bytes:,} B / 10^6 x 24 h x storage_mb_hour",
    )
    share = Fraction(read.cost - read.host_share)
    lines.add(
        "publisher's storage break-even",
        day / share if share else (None if day else Fraction(0)),
        "reads a day",
        "storage of a day / publisher's share of a read",
    )
    saved = Fraction(read.cold_cost - read.host_share)
    lines.add(
        "storage break-even of all",
        day / saved if saved > 0 else (None if day else Fraction(0)),
        "reads a day",
        "storage of a day / (cold - host's share of a read)",
    )
    return lines.section("Storage")
