"""Curves for the plots: money over the number of reads, and egress beside the prefill it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from kvproxy.core import NANO
from kvproxy.economics.document_case import DocumentCase, MarketPrices
from kvproxy.economics.document_economics import HYBRID_FACTORS, publishing_nano, read_charge
from kvproxy.economics.paper_economics import PAPER_INPUTS, PaperInputs
from kvproxy.economics.read_costs import egress_nano, prefill_nano


@dataclass(frozen=True, slots=True)
class CostCurve:
    """Money over reads, a straight line: ``once`` and ``each``, in units of the currency."""

    name: str
    once: Fraction
    each: Fraction

    def at(self, reads: int) -> float:
        """Return the money that so many reads take."""
        return float(self.once + reads * self.each)


@dataclass(frozen=True, slots=True)
class EgressBar:
    """Egress of one read over the prefill that it saves."""

    name: str
    factor: float


@dataclass(frozen=True, slots=True)
class EconomicPlot:
    """Everything that a plot shows."""

    title: str
    currency: str
    readers: int
    curves: Sequence[CostCurve]
    bars: Sequence[EgressBar]


def plot_of_document(case: DocumentCase) -> EconomicPlot:
    """Return the plot of one document."""
    prices, read = case.prices, read_charge(case)
    cold = prefill_nano(case.tokens, prices.input) / NANO
    egress = egress_nano(case.kv_bytes, prices.egress_gb) / NANO
    curves = [
        CostCurve("cold, list price", Fraction(0), cold),
        CostCurve("shipped, egress", Fraction(0), egress),
        CostCurve("hosted, at the tariff", Fraction(publishing_nano(case), NANO), Fraction(read.cost, NANO)),
    ]
    bars = [EgressBar("this document", float(egress / cold))] if cold else []
    if case.times is not None and cold:
        ratio = case.times.prefill_s / case.times.disk_s
        curves.append(CostCurve("hosted, list price x measured compute", cold, cold / ratio))
        bars.append(EgressBar("lossless, measured", float(egress * case.times.lossless / cold)))
    bars += _hybrid_bars(egress / cold) if cold else []
    title = f"{case.name}, {case.tokens:,} tokens"
    return EconomicPlot(title, prices.currency, case.readers, curves, bars)


def plot_of_paper(paper: PaperInputs = PAPER_INPUTS) -> EconomicPlot:
    """Return the plot of the paper's own inputs."""
    asked = MarketPrices()
    cold = prefill_nano(paper.tokens, asked.input) / NANO
    egress = egress_nano(paper.artifact_bytes, asked.egress_gb) / NANO
    curves = [
        CostCurve("cold, list price", Fraction(0), cold),
        CostCurve("shipped, egress", Fraction(0), egress),
        CostCurve("hosted, a tenth of the list price", cold, cold * paper.tariff),
        CostCurve("hosted, list price / 49.7", cold, cold / paper.ratio),
    ]
    bars = [EgressBar("dense, as the paper's", float(egress / cold)), *_hybrid_bars(egress / cold)]
    title = f"{paper.source}: {paper.tokens:,} tokens, from its own inputs"
    return EconomicPlot(title, asked.currency, paper.readers, curves, bars)


def _hybrid_bars(factor: Fraction) -> list[EgressBar]:
    return [EgressBar(f"KV {less} times smaller", float(factor / less)) for less in HYBRID_FACTORS]
