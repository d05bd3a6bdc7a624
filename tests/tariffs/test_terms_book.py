"""Publishers' terms: in force from now on, never changed for the past, the tariff's where there are none."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.tariff_tables import DOCUMENT_TERMS, TERMS
from kvproxy.errors import InvalidRequest
from kvproxy.tariffs import FREE, DocumentTerms, ModelPrices, Tariff
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.tariff_history import now_in_ms
from kvproxy.tariffs.terms_book import TermsBook
from kvproxy.tariffs.terms_rows import ChosenTerms

THIRD = DocumentTerms(kind="share", share_ppm=333_333)
DEAR = DocumentTerms(kind="fixed", nano_per_1000=9_000_000)


@pytest.fixture
def database(a_database: Database) -> Database:
    METADATA.create_all(a_database.engine)
    return a_database


def a_book(database: Database) -> TermsBook:
    book = TermsBook(database, Tariffs(database))
    book.refresh()
    return book


def test_terms_are_valid_from_their_beginning(database: Database) -> None:
    book = a_book(database)
    now = 4 * 10**12
    assert book.terms("d", "p", now) == FREE
    assert book.set_terms("d", "p", THIRD, now_ms=now)
    assert book.set_terms("d", "p", DEAR, valid_from_ms=now + 100, now_ms=now)
    for other in (book, a_book(database)):
        assert [other.terms("d", "p", now + ms) for ms in (-1, 0, 99, 100)] == [FREE, THIRD, THIRD, DEAR]
        assert other.terms("e", "p", now) == other.terms("d", "q", now) == FREE
        assert other.by_id(THIRD.id) == THIRD


def test_the_same_terms_again_are_no_change(database: Database) -> None:
    book = a_book(database)
    assert book.set_terms("d", "p", THIRD)
    assert not book.set_terms("d", "p", THIRD)
    assert not a_book(database).set_terms("d", "p", THIRD)
    assert book.set_terms("d", "p", DEAR) and book.set_terms("d", "p", THIRD)
    assert book.set_terms("e", "p", THIRD)
    with database.snapshot() as db:
        assert db.execute(select(DOCUMENT_TERMS.c.seq)).scalars().all() == [1, 2, 3, 4]
        assert len(db.execute(select(TERMS)).all()) == 2


def test_a_licence_is_chosen_with_the_terms(database: Database) -> None:
    book = a_book(database)
    now = 4 * 10**12
    assert book.chosen("d", "p", now) is None and book.changes == 0
    assert book.set_terms("d", "p", THIRD, now_ms=now, licence="CC BY 4.0")
    assert not book.set_terms("d", "p", THIRD, now_ms=now, licence="CC BY 4.0")
    assert book.set_terms("d", "p", THIRD, valid_from_ms=now + 9, now_ms=now, licence="Ask us.")
    for other in (book, a_book(database)):
        assert other.changes == 2
        assert other.chosen("d", "p", now) == ChosenTerms(now, THIRD, "CC BY 4.0")
        assert other.history("d", "p") == [
            ChosenTerms(now, THIRD, "CC BY 4.0"),
            ChosenTerms(now + 9, THIRD, "Ask us."),
        ]
        assert other.history("d", "q") == []


def test_terms_cannot_begin_in_the_past(database: Database) -> None:
    with pytest.raises(InvalidRequest, match="cannot begin in the past, at 1970-01-01T00:00:01Z"):
        a_book(database).set_terms("d", "p", THIRD, valid_from_ms=1000, now_ms=2000)


def test_a_document_without_terms_has_the_tariffs(database: Database) -> None:
    tariffs = Tariffs(database)
    prices = ModelPrices(input=1, output=1)
    tariffs.record(Tariff.of("USD", 100, {}, prices, THIRD), now_ms=0)
    tariffs.record(Tariff.of("USD", 200, {}, prices, DEAR), now_ms=0)
    book = TermsBook(database, tariffs)
    book.refresh()
    assert [book.terms("d", "p", ms) for ms in (99, 100, 200)] == [FREE, THIRD, DEAR]
    assert book.known(DEAR.id) == DEAR and book.known("no") is None is book.by_id("no")


def test_terms_of_a_grant_are_kept_by_id(database: Database) -> None:
    assert a_book(database).keep(DEAR) == a_book(database).keep(DEAR) == DEAR.id
    assert a_book(database).known(DEAR.id) == DEAR, "a process that starts later has it in memory"
    behind = TermsBook(database, Tariffs(database))
    assert behind.known(DEAR.id) is None
    assert behind.by_id(DEAR.id) == DEAR == behind.known(DEAR.id)


def test_another_process_sees_a_change(database: Database) -> None:
    mine, other = a_book(database), a_book(database)
    mine.set_terms("d", "p", THIRD)
    assert other.terms("d", "p") == FREE
    other.refresh()
    assert other.terms("d", "p") == THIRD


def test_what_begins_later_is_counted_when_it_has_begun(database: Database) -> None:
    book = TermsBook(database, Tariffs(database))
    now = now_in_ms()
    assert (book.begun(now), book.discounted()) == (0, frozenset())
    book.set_terms("now", "acme", DocumentTerms(text_readers="full_price"))
    book.set_terms("later", "acme", DocumentTerms(text_readers="discount"), now + 60_000)
    book.set_terms(
        "last", "acme", DocumentTerms(kind="share", share_ppm=1, text_readers="discount"), now + 90_000
    )
    assert [book.begun(now + s * 1000) for s in (0, 59, 60, 90)] == [0, 0, 1, 2]
    assert book.discounted() == {"later", "last"}
    other = TermsBook(database, Tariffs(database))
    other.refresh()
    assert other.discounted() == book.discounted() and other.begun(now + 90_000) == 2
