"""Tables of API keys, tenants and grants that the command line prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from kvproxy.terminal.tables import console

View = Mapping[str, Any]


def print_keys(keys: Iterable[View], now: int) -> None:
    """Print the table of ``kvproxy keys list``. ``now``: Unix seconds."""
    table = Table("id", "tenant", "key", "scopes", "made", "state", "budgets", "label")
    for key in keys:
        table.add_row(
            Text(key["id"]),
            Text(key["tenant"]),
            Text(key["hint"]),
            ", ".join(key["scopes"]),
            _day(key["created"]),
            _state(key, now),
            _budgets(key["budgets"]),
            Text(key["label"] or ""),
        )
    console().print(table)


def print_tenants(tenants: Iterable[View]) -> None:
    """Print the table of ``kvproxy tenants list``."""
    table = Table("tenant", "made", "credit", "budgets", "state")
    for tenant in tenants:
        table.add_row(
            Text(tenant["id"]),
            _day(tenant["created"]),
            "unlimited" if tenant["credit"] is None else _money(tenant["credit"]),
            _budgets(tenant["budgets"]),
            "open" if tenant["closed"] is None else f"closed {_day(tenant['closed'])}",
        )
    console().print(table)


def print_grants(grants: Iterable[View]) -> None:
    """Print the table of ``kvproxy grants list``."""
    table = Table("id", "document", "reader", "price", "caps", "ends")
    for grant in grants:
        version = "" if grant["version"] is None else f"@{grant['version']}"
        reader = "everybody" if grant["reader"] is None else f"{grant['reader_kind']} {grant['reader']}"
        ends = "never" if grant["expires"] is None else _day(grant["expires"])
        table.add_row(
            grant["id"],
            f"{grant['document']}{version}",
            Text(reader),
            "the document's" if grant["terms"] is None else f"terms {grant['terms'][:12]}",
            _limits(grant["max_tokens"], grant["max_money"], grant["max_reads"], "reads") or "none",
            ends if grant["revoked"] is None else f"revoked {_day(grant['revoked'])}",
        )
    console().print(table)


def _state(key: View, now: int) -> str:
    if key["revoked"] is not None:
        return f"revoked {_day(key['revoked'])}"
    if key["expires"] is None:
        return "good"
    return f"{'expired' if key['expires'] <= now else 'good until'} {_day(key['expires'])}"


def _budgets(budgets: Iterable[View]) -> str:
    shown = (
        f"{_limits(b['tokens'], b['money'], b['requests'], 'requests')} a {b['period']}" for b in budgets
    )
    return "; ".join(shown)


def _limits(tokens: int | None, money: View | None, number: int | None, unit: str) -> str:
    found = [
        "" if tokens is None else f"{tokens:,} tokens",
        "" if money is None else _money(money),
        "" if number is None else f"{number:,} {unit}",
    ]
    return ", ".join(text for text in found if text)


def _money(money: View) -> str:
    return f"{money['amount']} {money['currency']}"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
