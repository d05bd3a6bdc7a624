"""Curves say the same as the report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import NANO
from kvproxy.economics.cost_curves import plot_of_document, plot_of_paper
from kvproxy.economics.document_economics import document_report
from kvproxy.economics.paper_economics import paper_report
from tests.economics.cases import CASE


def test_a_documents_curves_end_at_the_reports_figures() -> None:
    report, plot = document_report(CASE), plot_of_document(CASE)
    ends = {curve.name: curve.at(CASE.readers) for curve in plot.curves}
    for curve, line in (
        ("cold, list price", "N cold reads, list price"),
        ("shipped, egress", "N reads shipped"),
    ):
        assert ends[curve] == pytest.approx(float((report.line(line).value or 0) / NANO))
    income = report.line("publisher's margin of N reads").value or 0
    hosted = (report.line("host's income of N reads").value or 0) + income
    once = (report.line("publishing, once").value or 0) / NANO
    assert ends["hosted, at the tariff"] == pytest.approx(float(hosted / NANO + once))
    assert [bar.name for bar in plot.bars][:2] == ["this document", "lossless, measured"]


def test_the_papers_curves_end_at_its_figures() -> None:
    report, plot = paper_report(), plot_of_paper()
    cold = plot.curves[0].at(plot.readers)
    assert cold == pytest.approx(1_509_600) == float((report.line("N cold reads").value or 0) / NANO)
    assert [round(bar.factor, 2) for bar in plot.bars] == [2.58, 0.2, 0.07]


def test_free_tokens_leave_the_bars_out() -> None:
    assert plot_of_document(replace(CASE, prices=replace(CASE.prices, input=0))).bars == []
