"""`TableOrder`: the column that a table is sorted by, from the query of a plain link, so that it needs no script."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class TableOrder:
    """A column and a direction, and the query of a link to each other order.

    Example: ``TableOrder.asked(query, ("id", "tokens"), default="tokens", descending=True)``
    """

    by: str
    descending: bool
    kept: Mapping[str, str]
    """Other fields of the query, filters among them, which the links keep."""

    @classmethod
    def asked(
        cls, query: Mapping[str, str], columns: Collection[str], *, default: str, descending: bool = False
    ) -> TableOrder:
        """Return the order that ``?sort=…&order=asc|desc`` asks for; one of unknown columns is the default.

        Example: ``TableOrder.asked(request.query, ("id", "tokens"), default="id")``
        """
        kept = {name: value for name, value in query.items() if name not in ("sort", "order", "after")}
        by = query.get("sort", "")
        if by not in columns:
            return cls(default, descending, kept)
        return cls(by, query.get("order") == "desc", kept)

    def query(self, column: str) -> str:
        """Return the query of the link in a column's head: its own order turned round, numbers falling first."""
        turned = not self.descending if column == self.by else True
        return urlencode({**self.kept, "sort": column, "order": "desc" if turned else "asc"})

    def aria(self, column: str) -> Literal["ascending", "descending", "none"]:
        """Return the value of ``aria-sort`` of a column's head."""
        if column != self.by:
            return "none"
        return "descending" if self.descending else "ascending"
