"""Output of ``kvproxy bench proxy``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console


def print_proxy(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench proxy``."""
    out = console()
    machine, plan = result["machine"], result["plan"]
    out.print(upstream_table(result["upstream"], "An upstream's model, milliseconds"))
    hit = result["hit"]
    out.print(_hit_table(hit["rows"], hit["document_tokens"]))
    out.print(
        f"{machine['cpu']}, {machine['cores']} cores shared by client, proxy and mock upstream; "
        f"Python {machine['python']}. One process per proxy, one worker in it, one API key checked. "
        f"Per row and server {plan['sequential']} requests one by one or {plan['concurrent']} at "
        f"{plan['at_once']} at once, the servers in turn. added: the quantile through a proxy minus the same "
        "quantile straight to the mock.",
        soft_wrap=True,
    )


def print_grammar(result: Mapping[str, Any]) -> None:
    """Print times per token in microseconds; tables are built once per process, a grammar once for all its answers."""
    out = console()
    table = Table(
        "grammar", "tokens", "compile", "mask p50", "mask mean", "mask p95", "accept mean", box=None
    )
    for row in result["grammars"]:
        figures = (
            f"{row[name]:,.1f} us"
            for name in ("mask_p50_us", "mask_mean_us", "mask_p95_us", "accept_mean_us")
        )
        table.add_row(row["grammar"], f"{row['tokens']}", f"{row['compile_ms']:.2f} ms", *figures)
    out.print(table)
    out.print(
        f"{result['vocabulary']:,} tokens in the vocabulary; its tables took {result['tables_ms']:,.0f} ms, once.",
        soft_wrap=True,
    )


def upstream_table(rows: list[dict[str, Any]], title: str) -> Table:
    """Return the table of times straight to a server and through proxies, in milliseconds; rows of ``rows_of``."""
    table = Table(
        "request",
        "at once",
        "through",
        "p50",
        "p99",
        "added p50",
        "added p99",
        "of litellm's p50",
        "p99",
        "CPU each",
        title=title,
    )
    for row in rows:
        straight = row["straight_ms"]
        table.add_section()
        table.add_row(_what(row), str(row["at_once"]), "straight", _ms(straight["p50"]), _ms(straight["p99"]))
        for proxy in row["proxies"]:
            ratio = proxy.get("of_litellm", {})
            table.add_row(
                "",
                "",
                proxy["name"],
                *_quantiles(proxy["ms"]),
                *_quantiles(proxy["added_ms"]),
                *(f"{ratio[q]:.3f}" if q in ratio else "-" for q in ("p50", "p99")),
                _ms(proxy["cpu_ms"]) if "cpu_ms" in proxy else "-",
            )
    return table


def _hit_table(rows: list[dict[str, Any]], tokens: int) -> Table:
    table = Table(
        "request",
        "at once",
        "own p50",
        "own p99",
        "added p50",
        "added p99",
        "CPU each",
        title=f"A hit on a {tokens:,}-token document, fake backend, milliseconds",
    )
    for row in rows:
        (proxy,) = row["proxies"]
        table.add_row(
            _what(row),
            str(row["at_once"]),
            *(_quantiles(proxy["own_ms"]) if row["metric"] == "total" else ("", "")),
            *_quantiles(proxy["added_ms"]),
            _ms(proxy["cpu_ms"]) if "cpu_ms" in proxy else "-",
        )
    return table


def _what(row: Mapping[str, Any]) -> str:
    if not row["streamed"]:
        return "whole"
    return "streamed, first event" if row["metric"] == "first" else "streamed, to the end"


def _quantiles(values: Mapping[str, float]) -> tuple[str, str]:
    return _ms(values["p50"]), _ms(values["p99"])


def _ms(value: float) -> str:
    return f"{value:,.2f}"
