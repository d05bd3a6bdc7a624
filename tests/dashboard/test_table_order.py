from __future__ import annotations

from urllib.parse import parse_qsl

from kvproxy.dashboard.table_order import TableOrder

COLUMNS = ("id", "tokens")


def test_links_turn_the_order_and_keep_the_filters() -> None:
    order = TableOrder.asked(
        {"sort": "tokens", "order": "desc", "q": "a&b", "after": "9"}, COLUMNS, default="id"
    )
    assert (order.by, order.descending) == ("tokens", True)
    assert dict(parse_qsl(order.query("tokens"))) == {"q": "a&b", "sort": "tokens", "order": "asc"}
    assert dict(parse_qsl(order.query("id"))) == {"q": "a&b", "sort": "id", "order": "desc"}
    assert (order.aria("tokens"), order.aria("id")) == ("descending", "none")


def test_an_unknown_column_is_the_default() -> None:
    order = TableOrder.asked({"sort": "secret", "order": "desc"}, COLUMNS, default="id")
    assert (order.by, order.descending, order.aria("id")) == ("id", False, "ascending")
