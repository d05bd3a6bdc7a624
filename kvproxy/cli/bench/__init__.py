"""``kvproxy bench …``: every figure beside a baseline of the same run. One file per command; heavy imports stand
inside the functions."""

from kvproxy.cli.bench import (
    busy_command,
    codec_command,
    cold_command,
    evict_command,
    explain_command,
    fair_command,
    grammar_command,
    ledger_command,
    match_command,
    pages_command,
    paper_command,
    proxy_command,
    quote_command,
    readers_command,
    restart_command,
    roofline_command,
    soak_command,
    stall_command,
    tiers_command,
)
from kvproxy.cli.bench.bench_group import bench

__all__ = [
    "bench",
    "busy_command",
    "codec_command",
    "cold_command",
    "evict_command",
    "explain_command",
    "fair_command",
    "grammar_command",
    "ledger_command",
    "match_command",
    "pages_command",
    "paper_command",
    "proxy_command",
    "quote_command",
    "readers_command",
    "restart_command",
    "roofline_command",
    "soak_command",
    "stall_command",
    "tiers_command",
]
