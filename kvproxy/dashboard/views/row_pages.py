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


def page_start(query: Mapping[str, str], total: int, *, param: str = "at", rows: int = ROWS) -> int:
    """Return the index of the first row of the page that ``?at=…`` asks for; any other text is the first page's.

    Example: ``page_start(request.query, listed.found, param="documents")``
    """
    text = query.get(param, "")
    asked = int(text) - 1 if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return max(0, min(asked, total - 1) // rows * rows)


def page_of(
    items: Sequence[T], query: Mapping[str, str], *, param: str = "at", rows: int = ROWS
) -> RowPage[T]:
    """Return the page that ``?at=…`` asks for, the number of its first row; any other text is the first page's.

    Links keep the other fields of the query. Example: ``page_of(keys, request.query, param="keys")``
    """
    begin = page_start(query, len(items), param=param, rows=rows)
    return page_at(items[begin : begin + rows], begin, len(items), query, param=param, rows=rows)


def page_at(
    shown: Sequence[T],
    begin: int,
    total: int,
    query: Mapping[str, str],
    *,
    param: str = "at",
    rows: int = ROWS,
) -> RowPage[T]:
    """Return a page of a table whose other rows are not at hand. ``begin``: the index of its first row.

    Example: ``page_at(ids, 50, listed.found, request.query, param="documents")``
    """
    kept = {name: value for name, value in query.items() if name != param}
    return RowPage(
        tuple(shown),
        begin + 1 if shown else 0,
        begin + len(shown),
        total,
        urlencode({**kept, param: begin + 1 - rows}) if begin else None,
        urlencode({**kept, param: begin + 1 + rows}) if begin + rows < total else None,
    )
