"""Rows that are appended, with everything beside them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_BALANCES, LEDGER_HEAD, LEDGER_ROWS
from kvproxy.ledger.booking_sql import (
    ChainEnd,
    add_head,
    append_rows,
    entry_values,
    known_ids,
    lock_head,
    read_values,
    row_values,
)
from kvproxy.ledger.row_body import GENESIS, chained, content_of, taken_back
from tests.ledger.made_bookings import booking, metered


def test_rows_follow_from_one_another(ledger_database: Database) -> None:
    with ledger_database.transaction() as db:
        add_head(db)
        add_head(db)
        assert lock_head(db) == ChainEnd(0, GENESIS)
        first = append_rows(db, lock_head(db), [content_of(booking("r1")), content_of(booking("r2"))])
    with ledger_database.transaction() as db:
        end = lock_head(db)
        assert end == ChainEnd(2, first[-1].hash)
        (third,) = append_rows(db, end, [content_of(booking("r3", metered()))])
        assert append_rows(db, lock_head(db), []) == []
    assert [row.seq for row in (*first, third)] == [1, 2, 3]
    assert first[0].previous == GENESIS and first[1].previous == first[0].hash
    with ledger_database.snapshot() as db:
        stored = db.execute(select(LEDGER_ROWS).order_by(LEDGER_ROWS.c.seq)).all()
        assert [dict(row._mapping) for row in stored] == [row_values(row) for row in (*first, third)]
        assert known_ids(db, ["r1", "r3", "r4"]) == {"r1", "r3"}
        assert sum(db.execute(select(LEDGER_BALANCES.c.nano)).scalars()) == 0
        assert db.execute(select(LEDGER_HEAD.c.hash)).scalar_one() == third.hash
    assert entry_values(third) == []


@given(tokens=st.integers(1, 10**6), other=st.integers(0, 10**6), saved_us=st.integers(0, 10**9))
def test_what_a_row_saved_is_divided_and_taken_back_exactly(tokens: int, other: int, saved_us: int) -> None:
    import dataclasses

    used = metered(cached=tokens, fresh=3)
    used = dataclasses.replace(used, cached_tokens=tokens + other, prompt_tokens=used.prompt_tokens + other)
    one = dataclasses.replace(booking("r1", used), seconds_saved_us=saved_us)
    row = chained(content_of(one), 1, GENESIS)
    back = chained(taken_back(row, at_ms=1, reason=""), 2, row.hash)
    (given_, taken) = read_values(row)[0], read_values(back)[0]
    assert 0 <= given_["saved_us"] <= saved_us
    for name in ("tokens", "price", "share", "saved_nano", "saved_us"):
        assert taken[name] == -given_[name]
