"""``kvproxy bench …``: every figure beside a baseline of the same run. One file per command; heavy imports stand
inside the functions."""

from kvproxy.bench.commands import (
    cold,
    evict,
    fair,
    grammar,
    paper,
    proxy,
    quote,
    readers,
    roofline,
    soak,
    stall,
)
from kvproxy.bench.commands.app import bench

__all__ = [
    "bench",
    "cold",
    "evict",
    "fair",
    "grammar",
    "paper",
    "proxy",
    "quote",
    "readers",
    "roofline",
    "soak",
    "stall",
]
