"""Output of ``kvproxy bench fleet`` and ``kvproxy bench fleet-overhead``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.bench.table import upstream_table
from kvproxy.terminal.tables import console


def print_fleet(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench fleet``."""
    out = console()
    table = Table(
        *("policy", "hit rate", "of best possible", "of round robin", "TTFT p50", "TTFT p99"),
        *("p50 of round robin", "p99 of round robin", "whole p99", "requests/s"),
        title="Readers of documents over several replicas, milliseconds",
    )
    for row in result["policies"]:
        ratio = row["of_round_robin"]
        table.add_row(
            row["policy"],
            f"{row['hit_rate']:.1%}",
            f"{row['of_best_possible']:.1%}",
            "-" if ratio["hit_rate"] is None else f"{ratio['hit_rate']:.2f}",
            f"{row['ttft_ms']['p50']:,.0f}",
            f"{row['ttft_ms']['p99']:,.0f}",
            f"{ratio['ttft_p50']:.2f}",
            f"{ratio['ttft_p99']:.2f}",
            f"{row['whole_ms']['p99']:,.0f}",
            f"{row['requests_per_s']:.2f}",
        )
    out.print(table)
    out.print(_assumptions(result), soft_wrap=True)


def print_fleet_overhead(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench fleet-overhead``."""
    out = console()
    replicas, plan, machine = result["replicas"], result["plan"], result["machine"]
    kind = "fake replicas that compute nothing" if replicas["fake"] else "replicas"
    title = f"A {result['document_tokens']:,}-token document on {replicas['count']} {kind}, milliseconds"
    out.print(upstream_table(result["rows"], title))
    out.print(
        f"{machine['cpu']}, {machine['cores']} cores shared by client, proxies and replicas. "
        f"One process per proxy, one worker in it. Per row and server {plan['sequential']} requests one by one or "
        f"{plan['concurrent']} at {plan['at_once']} at once, the servers in turn. added: the quantile through a proxy "
        "minus the same quantile straight to one replica, which then renders and tokenises the chat itself; kvproxy "
        "does that in its place.",
        soft_wrap=True,
    )
    for name in result["left_out"]:
        out.print(f"Left out: {name} is not installed; `make fleet-peers` installs it in .fleet-peers.")


def _assumptions(result: Mapping[str, Any]) -> str:
    machine, trace, replicas = result["machine"], result["trace"], result["replicas"]
    sizes = trace["document_tokens"]
    held = replicas[0]["blocks"] * replicas[0]["block_tokens"]
    low, high = trace["question_words"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores shared by client, proxy and replicas on this machine. "
        f"{len(replicas)} replicas of {replicas[0]['blocks']:,} blocks of {replicas[0]['block_tokens']} tokens, "
        f"{held:,} in all; {trace['documents']} documents of {sizes['least']:,} to {sizes['most']:,} tokens (median "
        f"{sizes['median']:,}), {sizes['all']:,} together: {sizes['all'] / held:.2f} times what one replica holds. "
        f"{trace['requests']} questions of {low} to {high} words, {trace['answer_tokens']}-token answers, "
        f"{result['at_once']} at once; documents by Zipf's law ({trace['zipf']}), {trace['open_sessions']} sessions in "
        f"turn, of {trace['session_requests']:g} questions on average, the next one about the same document with "
        f"probability {trace['stay']}; seed {trace['seed']}. Before each policy caches are emptied and each document "
        f"is asked about once. Best possible: {result['best_possible_hit_rate']:.1%}, one cache of all replicas' size "
        "that knows the future. Best placement: each document on one replica, evenly, chosen by the whole trace."
    )
