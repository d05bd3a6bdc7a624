"""The tables of ``kvproxy bench fleet-simulation``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console

ROUTER_NAMES = {
    "round_robin": "round robin",
    "least_load": "least load",
    "sticky_sessions": "sticky sessions",
    "kvproxy": "kvproxy",
}


def print_fleet_simulation(result: Mapping[str, Any]) -> None:
    """Print the routers of each size, the cost of decisions, and what a tenth leaving did."""
    out = console()
    for table in (_routers(result), _decisions(result), _leaving(result)):
        out.print(table)
    out.print(_assumptions(result), soft_wrap=True)


def _routers(result: Mapping[str, Any]) -> Table:
    table = Table(
        *(
            "replicas",
            "router",
            "hits, of tokens",
            "of the best",
            "TTFT p50",
            "TTFT p99",
            "most / mean busy",
            "spilled",
        ),
    )
    for fleet in result["fleets"]:
        for name, row in fleet["routers"].items():
            table.add_row(
                f"{fleet['replicas']:,}",
                ROUTER_NAMES[name],
                f"{row['hit_rate']:.1%}",
                f"{row['of_best']:.1%}",
                f"{row['first_token_p50_s'] * 1e3:,.0f} ms",
                f"{row['first_token_p99_s']:.2f} s",
                f"{row['imbalance']:.2f}",
                f"{row['spilled']:.1%}" if name == "kvproxy" else "",
            )
        for name, figure in (("one LRU cache", "one_cache_hit_rate"), ("best possible", "best_hit_rate")):
            share = fleet[figure] / fleet["best_hit_rate"]
            table.add_row(
                f"{fleet['replicas']:,}", name, f"{fleet[figure]:.1%}", f"{share:.1%}", "", "", "", ""
            )
        table.add_section()
    return table


def _decisions(result: Mapping[str, Any]) -> Table:
    table = Table(
        *(
            "replicas",
            "decision p50",
            "decision p99",
            "events, a request",
            "blocks in the index",
            "its memory",
        ),
        title="process time of routing and residency",
    )
    for fleet in result["fleets"]:
        row = fleet["routers"]["kvproxy"]
        table.add_row(
            f"{fleet['replicas']:,}",
            f"{row['decision']['p50_ms']:.3f} ms",
            f"{row['decision']['p99_ms']:.3f} ms",
            f"{row['events_us_per_request'] / 1e3:.3f} ms",
            f"{row['index_blocks']:,}",
            f"{row['index_bytes'] / 2**20:,.1f} MiB",
        )
    return table


def _leaving(result: Mapping[str, Any]) -> Table:
    table = Table(
        *("replicas", "left", "hits just after", "hits at the end", "back after", "TTFT p99 just after"),
        *("keys that moved", "of them others'", "documents lost", "sent again"),
        title="a tenth of the replicas breaks at half time; in brackets: the same traffic, and none breaks",
    )
    for fleet in result["fleets"]:
        if (row := fleet["leaving"]) is None:
            continue
        after, end, waits = row["just_after"], row["at_end"], row["first_token_p99_s"]
        back = "not in the run" if row["recovery_s"] is None else f"{row['recovery_s']:,.0f} s"
        table.add_row(
            f"{fleet['replicas']:,}",
            f"{row['left']:,}",
            f"{after['hit_rate']:.1%} ({after['undisturbed']:.1%})",
            f"{end['hit_rate']:.1%} ({end['undisturbed']:.1%})",
            f"{back} (parts of {row['window_s']:.0f} s)",
            f"{waits['just_after']:.2f} s ({waits['undisturbed']:.2f} s)",
            f"{row['moved_keys']:.1%}",
            f"{row['moved_keys_of_others']}",
            f"{row['documents_lost']:,} of {row['documents_resident']:,}",
            f"{row['placed_again']:,}",
        )
    return table


def _assumptions(result: Mapping[str, Any]) -> str:
    plan, machine = result["plan"], result["machine"]
    traffic, replica = plan["traffic"], plan["replica"]
    return (
        f"{traffic['documents']:,} documents, Zipf {traffic['zipf']}, log-normal lengths around "
        f"{traffic['median_tokens']:,} tokens; sessions of {traffic['turns']:g} turns; a replica caches "
        f"{replica['cache_tokens']:,} tokens in blocks of {replica['block_tokens']} and prefills "
        f"{replica['prefill_tokens_per_s']:,.0f} tokens a second; arrivals are {plan['offered']:.0%} of what the fleet "
        f"could prefill without a cache; the first {plan['warm_up']:.0%} of each run are not counted (seed "
        f"{traffic['seed']}). {machine['cpu']}, {machine['system']}."
    )
