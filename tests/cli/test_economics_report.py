"""From the options to the report: the ledger's reads are the readers where none are given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.cli.economics_report import EconomicQuestion, report_of
from kvproxy.config import Config, load_config
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from tests.cli.test_economics_inputs import book
from tests.economics.cases import a_bench_paper

HERE = "http://127.0.0.1:9"


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    with Database.open(None, tmp_path) as database:
        METADATA.create_all(database.engine)
    return load_config(None, {"store.path": tmp_path, "billing.default_publisher_share": "80%"})


@pytest.fixture
def question(tmp_path: Path) -> EconomicQuestion:
    measured = tmp_path / "paper.json"
    measured.write_text(json.dumps(a_bench_paper(500, 1000)))
    plain = EconomicQuestion("handbook", None, None, "5", "0.09", "0.023", None, "30%", None)
    return replace(plain, measured=measured, model="m", from_ledger=True)


async def test_the_ledger_gives_readers_and_tokens(settings: Config, question: EconomicQuestion) -> None:
    await book(settings.store.path, "handbook@1", "handbook@1", "other@1")
    report, plot = report_of(question, settings, HERE, None)
    assert [report.line(name).value for name in ("readers", "tokens")] == [2, 1000] and plot.readers == 2
    assert report.line("readers").source == "the ledger"
    assert report.line("reads booked").value == 2
    # What is computed from prices and tokens is what was booked, for the document's part of each request.
    for computed, booked in (
        ("a read", "paid by readers"),
        ("publisher's share of a read", "publisher's share booked"),
    ):
        assert 2 * (report.line(computed).value or 0) == report.line(booked).value, computed


async def test_another_number_of_readers_may_be_asked_for(
    settings: Config, question: EconomicQuestion
) -> None:
    await book(settings.store.path, "handbook@1")
    report, _ = report_of(replace(question, readers=500, tokens=600), settings, HERE, None)
    assert [report.line(name).value for name in ("readers", "tokens")] == [500, 600]
    assert report.line("reads booked").value == 1
