"""From the options of ``kvproxy economics`` to its report and its plot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kvproxy.cli.economics_inputs import parse_price, read_asked, read_booked, read_measured, with_booked

if TYPE_CHECKING:
    from kvproxy.config import Config
    from kvproxy.economics.cost_curves import EconomicPlot
    from kvproxy.economics.document_case import MarketPrices
    from kvproxy.economics.economic_lines import EconomicReport


@dataclass(frozen=True, slots=True)
class EconomicQuestion:
    """The options as they were given."""

    document: str | None
    readers: int | None
    tokens: int | None
    price: str
    egress: str
    storage: str
    hour: str | None
    terms: str | None
    tariff: Path | None
    measured: Path | None = None
    model: str = ""
    sold_as: str | None = None
    from_ledger: bool = False


def paper_answer() -> tuple[EconomicReport, EconomicPlot]:
    """Return the paper's figures, from its own inputs."""
    from kvproxy.economics.cost_curves import plot_of_paper
    from kvproxy.economics.paper_economics import paper_report

    return paper_report(), plot_of_paper()


def report_of(
    asked: EconomicQuestion, settings: Config, url: str, api_key: str | None
) -> tuple[EconomicReport, EconomicPlot]:
    """Read the inputs, and compute. Raises SetupError, and RequestFailed where the proxy does not answer.

    Example: ``report_of(question, settings, "http://127.0.0.1:8321", None)``
    """
    from kvproxy.economics.cost_curves import plot_of_document
    from kvproxy.economics.document_case import DocumentCase
    from kvproxy.economics.document_economics import document_report
    from kvproxy.economics.ledger_economics import ledger_section

    booked = read_booked(settings, asked.document) if asked.from_ledger else None
    prices = _prices(asked, settings)
    host = read_asked(settings, asked.tariff, asked.sold_as or asked.model, prices, asked.terms)
    tokens = asked.tokens or (booked is None and _published(asked.document, url, api_key)) or None
    if tokens is None and booked is not None:
        tokens = max(2, booked.sums.cached_tokens // booked.sums.requests)
    found = read_measured(asked.measured, asked.model, tokens)
    case = DocumentCase(
        name=asked.document or "a document",
        tokens=found.tokens,
        readers=asked.readers or 1,
        kv_bytes=found.kv_bytes,
        prices=prices,
        tariff=host.prices,
        terms=host.terms,
        times=found.times,
        size_source=found.times.source,
        tariff_source=host.source,
    )
    case = case if asked.readers else with_booked(case, booked)
    report = document_report(case)
    if booked is not None:
        report = replace(report, sections=(*report.sections, ledger_section(booked.sums, booked.days)))
    return report, plot_of_document(case)


def _prices(asked: EconomicQuestion, settings: Config) -> MarketPrices:
    from kvproxy.economics.document_case import MarketPrices

    return MarketPrices(
        currency=settings.billing.currency,
        input=parse_price(asked.price, "--price"),
        egress_gb=parse_price(asked.egress, "--egress"),
        storage_gb_month=parse_price(asked.storage, "--storage"),
        machine_hour=None if asked.hour is None else parse_price(asked.hour, "--hour"),
    )


def _published(document: str | None, url: str, api_key: str | None) -> int | None:
    """Return the tokens of a document of the running proxy."""
    if document is None:
        return None
    from kvproxy.client import Client

    with Client(url, api_key=api_key) as client:
        return int(client.document(document)["tokens"])
