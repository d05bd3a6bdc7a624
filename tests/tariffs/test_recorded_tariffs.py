"""Tariffs in the database: recorded once, seen by every process, on both kinds of database."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.tariff_tables import TARIFFS
from kvproxy.errors import SetupError
from kvproxy.tariffs import DocumentTerms, ModelPrices, Tariff
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.tariff_file import read_tariff_file
from kvproxy.tariffs.terms_book import TermsBook

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "tariff.yaml"


@pytest.fixture
def database(a_database: Database) -> Database:
    METADATA.create_all(a_database.engine)
    return a_database


def tariff(begins: int, price: int = 10) -> Tariff:
    return Tariff.of("USD", begins, {"m": ModelPrices(input=price, output=price)})


def test_a_recorded_tariff_is_found_by_another_process(database: Database) -> None:
    mine, other = Tariffs(database), Tariffs(database)
    assert mine.record(tariff(100, 1), now_ms=50)
    assert other.at(100) is None
    other.refresh()
    assert other.at(100) == mine.at(100) == tariff(100, 1)
    assert mine.at(99) is None
    assert other.by_id(tariff(100, 1).id) == tariff(100, 1)
    assert not other.record(tariff(100, 1), now_ms=500)
    other.record(tariff(900, 2), now_ms=500)
    mine.refresh()
    assert mine.at(900) == tariff(900, 2)


def test_the_past_is_refused_and_leaves_no_row(database: Database) -> None:
    tariffs = Tariffs(database)
    tariffs.record(tariff(100, 1), now_ms=50)
    with pytest.raises(SetupError, match="begins in the past"):
        tariffs.record(tariff(150, 2), now_ms=200)
    with database.snapshot() as db:
        assert len(db.execute(select(TARIFFS)).all()) == 1


def test_another_process_that_is_behind_does_not_rewrite_the_past(database: Database) -> None:
    mine, behind = Tariffs(database), Tariffs(database)
    mine.record(tariff(100, 1), now_ms=50)
    with pytest.raises(SetupError, match="begins in the past"):
        behind.record(tariff(150, 2), now_ms=200)


def test_a_file_is_recorded_once(database: Database) -> None:
    file = read_tariff_file(EXAMPLE)
    tariffs = Tariffs(database)
    assert len(tariffs.record_file(file)) == 2
    assert tariffs.record_file(file) == [] == Tariffs(database).record_file(file)
    assert tariffs.history.schedule[0].tariff == file.entries[0].tariff
    default = file.entries[0].tariff.documents
    assert TermsBook(database, Tariffs(database)).by_id(default.id) == default, "the row names its terms"


def test_processes_that_record_at_the_same_time_number_their_rows(database: Database) -> None:
    def record(first: int) -> None:
        own = Tariffs(database)
        for i in range(8):
            own.record(tariff(1000 + 100 * i + first, first), now_ms=1)

    threads = [threading.Thread(target=record, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.snapshot() as db:
        rows = db.execute(select(TARIFFS.c.seq).order_by(TARIFFS.c.seq)).scalars().all()
    assert rows == list(range(1, 33))
    tariffs = Tariffs(database)
    tariffs.refresh()
    assert len(tariffs.history.schedule) == 32


def test_a_changed_body_no_longer_has_its_id(database: Database) -> None:
    Tariffs(database).record(tariff(100, 1), now_ms=50)
    with database.transaction() as db:
        body = db.execute(select(TARIFFS.c.body)).scalar_one()
        db.execute(TARIFFS.update().values(body=body.replace('"input":1', '"input":2')))
    tariffs = Tariffs(database)
    tariffs.refresh()
    assert tariffs.by_id(tariff(100, 1).id) is None


def test_a_host_that_has_taken_its_tariff_away_asks_for_nothing(database: Database) -> None:
    Tariffs(database).record(tariff(100, 1), now_ms=50)
    free = Tariffs(database, in_force=False)
    free.refresh()
    assert free.at(100) is None
    assert free.by_id(tariff(100, 1).id) == tariff(100, 1), "old reads keep their price"


def test_document_terms_are_part_of_a_tariff(database: Database) -> None:
    terms = DocumentTerms(kind="share", share_ppm=5)
    told = Tariff.of("USD", 1, {}, ModelPrices(input=1, output=1), terms)
    Tariffs(database).record(told, now_ms=0)
    other = Tariffs(database)
    other.refresh()
    assert other.at(1) == told
