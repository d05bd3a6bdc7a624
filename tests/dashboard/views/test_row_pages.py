from __future__ import annotations

import pytest

from kvproxy.dashboard.views.row_pages import RowPage, page_of


def test_the_pages_of_a_table() -> None:
    rows = list(range(120))
    first = page_of(rows, {"sort": "id"})
    assert (first.first, first.last, first.total) == (1, 50, 120)
    assert (first.earlier, first.later) == (None, "sort=id&at=51")
    last = page_of(rows, {"sort": "id", "at": "101"})
    assert last.rows == tuple(range(100, 120)) and last.later is None
    assert last.earlier == "sort=id&at=51"


@pytest.mark.parametrize("asked", ["", "-1", "0", "x", "1e9", "٣", "9" * 30])
def test_what_is_no_row_is_the_first_page(asked: str) -> None:
    assert page_of([1, 2, 3], {"at": asked}).rows == (1, 2, 3)


def test_a_row_within_a_page_and_one_behind_the_last() -> None:
    assert page_of(list(range(60)), {"at": "33"}).first == 1
    assert page_of(list(range(60)), {"at": "999"}).first == 51


def test_nothing() -> None:
    page: RowPage[int] = page_of([], {"at": "51"})
    assert (page.rows, page.first, page.last, page.total, page.earlier, page.later) == (
        (),
        0,
        0,
        0,
        None,
        None,
    )
