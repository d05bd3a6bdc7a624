"""The table's steps: each is taken by one of many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from kvproxy.payments.payment_rows import PaymentRow, PaymentRows

ROW = PaymentRow(
    id="pay_1",
    tenant="alice",
    method="evm",
    state="intended",
    nano=10**9,
    units=10**6,
    payer="0x01",
    exchange={"payment": {"ä": 1}, "requirements": {"amount": "1000000"}},
)


def test_a_row_comes_back_as_it_was(rows: PaymentRows) -> None:
    assert rows.add(ROW, 7) and not rows.add(ROW, 8)
    assert rows.find("pay_1").row == ROW
    assert rows.find("pay_2").row is None


def test_one_of_many_takes_a_step(rows: PaymentRows) -> None:
    rows.add(ROW, 7)
    with ThreadPoolExecutor(4) as threads:
        steps = list(
            threads.map(
                lambda n: rows.advance("pay_1", "intended", "settled", n, reference=f"0x{n}"), range(4)
            )
        )
    assert sum(steps) == 1
    row = rows.find("pay_1").row
    assert row is not None and row.state == "settled" and row.reference == f"0x{steps.index(True)}"
    assert not rows.forget("pay_1", "intended") and rows.find("pay_1").row is not None
    assert rows.forget("pay_1", "settled") and rows.find("pay_1").row is None


def test_unfinished_rows_by_state_and_age(rows: PaymentRows) -> None:
    rows.add(ROW, 1000)
    assert [row.id for row in rows.unfinished(("intended", "settled"), 1000)] == ["pay_1"]
    assert not rows.unfinished(("intended",), 999) and not rows.unfinished(("authorised",), 1000)
    rows.advance("pay_1", "intended", "settled", 2000)
    assert not rows.unfinished(("settled",), 1999)


def test_an_unknown_state_is_refused_by_the_table(rows: PaymentRows) -> None:
    with pytest.raises(IntegrityError):
        rows.add(replace(ROW, state="lost"), 1)  # type: ignore[arg-type]  # that is the test
