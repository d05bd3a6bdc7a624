"""`RowPage`: one page of a long table, with the links to its neighbours. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")

ROWS = 50
"""Rows of one page of any table."""


@dataclass(frozen=True, slots=True)
class RowPage(Generic[T]):
    """Rows ``first`` to ``last`` of ``total``, counted from 1; both are 0 where there is none."""

    rows: tuple[T, ...]
    first: int
    last: int
    total: int
    earlier: str | None
    """The query of the link to the page before; None on the first one."""
    later: str | None
    """The query of the link to the next page; None on the last one."""


def page_of(
    items: Sequence[T], query: Mapping[str, str], *, param: str = "at", rows: int = ROWS
) -> RowPage[T]:
    """Return the page that ``?at=…`` asks for, the number of its first row; any other text is the first page's.

    Links keep the other fields of the query. Example: ``page_of(keys, request.query, param="keys")``
    """
    text = query.get(param, "")
    asked = int(text) - 1 if text.isascii() and text.isdigit() and len(text) < 10 else 0
    begin = max(0, min(asked, len(items) - 1) // rows * rows)
    shown = tuple(items[begin : begin + rows])
    kept = {name: value for name, value in query.items() if name != param}
    return RowPage(
        shown,
        begin + 1 if shown else 0,
        begin + len(shown),
        len(items),
        urlencode({**kept, param: begin + 1 - rows}) if begin else None,
        urlencode({**kept, param: begin + 1 + rows}) if begin + rows < len(items) else None,
    )
