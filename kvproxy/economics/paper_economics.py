"""The economics of "Can I Buy Your KV Cache?" (arXiv 2606.13361), computed from its own inputs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from kvproxy.core import NANO
from kvproxy.economics.document_case import MarketPrices
from kvproxy.economics.document_economics import HYBRID_FACTORS
from kvproxy.economics.economic_lines import EconomicReport, EconomicSection, SectionLines, short
from kvproxy.economics.read_costs import (
    break_even_bytes_per_token,
    egress_nano,
    needed_part,
    prefill_nano,
)

_DENSE = 2 * 36 * 8 * 128 * 2


@dataclass(frozen=True, slots=True)
class PaperInputs:
    """Figures that the paper states."""

    source: str = "arXiv 2606.13361"
    setting: str = "Qwen3-4B, fp16, one laptop (Apple M1 Pro)"
    tokens: int = 3774
    readers: int = 80_000_000
    ratio: Fraction = Fraction("49.7")
    """Prefill over reuse in measured seconds, at ``tokens``."""
    short_tokens: int = 255
    short_ratio: Fraction = Fraction(9)
    bytes_per_token: int = 148_000
    artifact_bytes: int = 540_000_000
    egress_ratio: Fraction = Fraction("2.6")
    tariff: Fraction = Fraction("0.1")
    """The usual price of a cached token, of an input token's."""
    largest_difference: str = "0.02"


PAPER_INPUTS = PaperInputs()

QWEN3_4B_BYTES_PER_TOKEN = _DENSE
"""K and V x 36 layers x 8 heads x 128 components x 2 bytes."""


def paper_report(paper: PaperInputs = PAPER_INPUTS) -> EconomicReport:
    """Compute the paper's figures from its inputs, at list prices that give its own."""
    prices = MarketPrices()
    sections = (
        _given(paper, prices),
        _hosted(paper, prices),
        _shipped(paper, prices),
        _hybrid(paper, prices),
    )
    return EconomicReport(f"{paper.source}, from its own inputs", prices.currency, sections)


def _given(paper: PaperInputs, prices: MarketPrices) -> EconomicSection:
    lines = SectionLines(f"{paper.source}, {paper.setting}", "list price")
    lines.add("tokens", paper.tokens, "tokens", "stated", "input", "3774")
    lines.add("readers", paper.readers, "reads", "stated", "input", "80M")
    lines.add("prefill / reuse", paper.ratio, "times", "stated: seconds of one laptop", "measured", "49.7x")
    lines.add("KV", paper.artifact_bytes, "bytes", "stated", "measured", "0.54 GB")
    lines.add(
        "input price",
        prices.input,
        "money",
        "for 10^6 tokens; $1.5M / (80M x 3,774 tokens) is $4.97",
        "list price",
        source="an API's list price",
    )
    lines.add(
        "egress price",
        prices.egress_gb,
        "money",
        "for 10^9 bytes; $0.049 / 0.54 GB is $0.0907",
        "list price",
        source="a large cloud's list price",
    )
    return lines.section("Inputs")


def _hosted(paper: PaperInputs, prices: MarketPrices) -> EconomicSection:
    lines = SectionLines(f"{paper.source}, abstract", "list price")
    cold = paper.readers * prefill_nano(paper.tokens, prices.input)
    price = short(Fraction(prices.input, NANO))
    lines.add(
        "N cold reads",
        cold,
        "money",
        f"{paper.readers:,} x {paper.tokens:,} x {price} / 10^6",
        "list price",
        "~$1.5M",
    )
    lines.add(
        "N reuses by measured compute",
        cold / paper.ratio,
        "money",
        f"N cold reads / {short(paper.ratio)}",
        "list price and measured",
        "~$0.03M",
    )
    paid = cold * paper.tariff
    lines.add(
        "N reads at a tenth", paid, "money", "N cold reads x 0.1: what readers pay", "list price", "10x less"
    )
    lines.add(
        "between the two",
        paid - cold / paper.ratio,
        "money",
        "N reads at a tenth - N reuses by measured compute",
        "list price and measured",
        '"provider margin: millions"',
    )
    return lines.section(
        "Hosted: re-prefill against reuse",
        "$1.5M is a list price: what an API would bill for these tokens, its margin and idle machines included, and "
        "not what the prefills cost. $0.03M is that list price divided by a ratio of seconds on one laptop: neither a "
        "bill nor a cost. Of compute the paper measures the 49.7x alone.",
        "Does not multiply out: the margin between the tenth that readers pay and 1/49.7 is $0.12M for this document "
        'and these readers; for "millions of dollars per popular document" two would take 17 times as many reads.',
    )


def _shipped(paper: PaperInputs, prices: MarketPrices) -> EconomicSection:
    lines = SectionLines(f"{paper.source}, on shipping", "list price")
    rate = short(Fraction(prices.egress_gb, NANO))
    saved = prefill_nano(paper.tokens, prices.input)
    lines.add(
        "a cold read",
        saved,
        "money",
        f"{paper.tokens:,} x {short(Fraction(prices.input, NANO))} / 10^6",
        "list price",
    )
    for name, size, formula, stated in _sizes(paper):
        egress = egress_nano(size, prices.egress_gb)
        lines.add(f"egress of a read{name}", egress, "money", f"{formula} x {rate}", stated=stated)
        beside = "" if name else "2.6x"
        factor = f"of the prefill it saves{name}"
        lines.add(factor, egress / saved, "times", "egress of a read / a cold read", stated=beside)
    egress = egress_nano(paper.artifact_bytes, prices.egress_gb)
    lines.add("N reads shipped", paper.readers * egress, "money", "N x egress of a read", "list price")
    part = needed_part(saved, egress)
    lines.add(
        "lossless size that shipping needs",
        None if part is None else 100 * part,
        "percent",
        "a cold read / egress of a read: of the plain size",
        "list price",
        '"nearly incompressible"',
    )
    return lines.section(
        "Shipped: egress against the prefill it saves",
        "Both sides are list prices, so the 2.6x compares two sellers' prices and no costs: at half the price of a GB, "
        "or twice the price of a token, it halves.",
        "Does not multiply out: 0.148 MB for a token makes 0.559 GB (0.545 where 1,024 MB are a GB), not 0.54, and "
        "2.66x. Qwen3-4B's shape has 147,456 B for a token: 0.556 GB, $0.0501, 2.65x.",
    )


def _sizes(paper: PaperInputs) -> list[tuple[str, int, str, str]]:
    """Sizes of the document's KV: as stated, from the stated size of a token, and from the model's shape."""
    shape = "2 x 36 layers x 8 heads x 128 x 2 B x 3,774 = 0.5565 GB"
    return [
        ("", paper.artifact_bytes, "0.54 GB", "$0.049"),
        (
            ", 0.148 MB a token",
            paper.bytes_per_token * paper.tokens,
            "0.148 MB x 3,774 = 0.5586 GB",
            "",
        ),
        (", Qwen3-4B's shape", QWEN3_4B_BYTES_PER_TOKEN * paper.tokens, shape, ""),
    ]


def _hybrid(paper: PaperInputs, prices: MarketPrices) -> EconomicSection:
    lines = SectionLines("shapes of hybrid models: full attention in few layers", "list price")
    saved = prefill_nano(paper.tokens, prices.input)
    egress = egress_nano(paper.artifact_bytes, prices.egress_gb)
    lines.add(
        "KV for a token at break-even",
        break_even_bytes_per_token(prices.input, prices.egress_gb),
        "bytes",
        f"price of a token / price of a byte; Qwen3-4B has {QWEN3_4B_BYTES_PER_TOKEN:,} B",
        "list price",
        source="the two list prices",
    )
    for factor in HYBRID_FACTORS:
        lines.add(
            f"of the prefill it saves, KV {factor} times smaller",
            egress / factor / saved,
            "times",
            f"egress of a read / {factor} / a cold read",
            "list price",
        )
    return lines.section(
        "Where shipping does not fail",
        "That shipping fails holds for dense attention. Hybrid models keep 13 to 36 times less KV for a token: egress "
        "is 0.07 to 0.2 of the prefill that it saves then, and shipping pays without any compression.",
    )
