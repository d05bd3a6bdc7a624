"""Ways to choose a replica that `kvproxy bench fleet` compares the product with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvproxy.bench.fleets.reading_trace import ReadingStep
from kvproxy.routing.baselines import RoundRobin, sticky_replica
from kvproxy.routing.replica_load import ReplicaLoad
from kvproxy.routing.replica_set import ReplicaSet

PRODUCT, ROUND_ROBIN, STICKY, PLACED = "kvproxy", "round robin", "sticky sessions", "best placement"

Choose = Callable[[ReadingStep], int]
"""The position of the replica for one request."""


def round_robin(names: Sequence[str]) -> Choose:
    """Return a choice of each replica in turn."""
    turns, replicas = RoundRobin(), _replicas(names)
    return lambda _: replicas.position(turns.choose(replicas))


def sticky_sessions(names: Sequence[str]) -> Choose:
    """Return a choice by the hash of the session, as vllm-router's consistent_hash makes one of ``x-session-id``."""
    replicas = _replicas(names)
    return lambda step: replicas.position(sticky_replica(step.session, replicas))


def best_placement(names: Sequence[str], steps: Sequence[ReadingStep], tokens: Sequence[int]) -> Choose:
    """Return a choice that knows the whole trace: every document has one replica, and replicas have equal sums of
    ``tokens`` and, as far as that leaves, of reads.

    Example: ``best_placement(["a", "b"], trace.steps, sizes.documents)(trace.steps[0])``
    """
    reads = [sum(step.document == number for step in steps) for number in range(len(tokens))]
    all_reads, all_tokens = max(1, sum(reads)), max(1, sum(tokens))
    place: dict[int, int] = {}
    held, read = [0.0] * len(names), [0.0] * len(names)
    for number in sorted(range(len(tokens)), key=lambda n: -(tokens[n] / all_tokens + reads[n] / all_reads)):
        at = min(range(len(names)), key=lambda n: held[n] / all_tokens + read[n] / all_reads)
        place[number] = at
        held[at] += tokens[number]
        read[at] += reads[number]
    return lambda step: place[step.document]


def _replicas(names: Sequence[str]) -> ReplicaSet:
    return ReplicaSet(
        ReplicaLoad(name, weight=1.0, queued_tokens=0, running=0, prefill_tokens_per_s=1.0, up=True)
        for name in names
    )
