"""Copies of a document: how many replicas should hold it, and which come next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from kvproxy.routing.rendezvous import in_order
from kvproxy.routing.replica_set import ReplicaSet


@dataclass(frozen=True, slots=True)
class CopyPolicy:
    """The bounds of a document's copies: those of the setting ``copies`` of a fleet."""

    least: int = 1
    most: int = 4
    reads_per_minute: float = 60.0
    """Reads a minute that one more copy is made for."""
    slack: float = 0.25
    """The share by which reads have to fall below a copy's due before the copy is given up, so that a rate near a
    boundary does not warm and forget in turn."""


def copies_wanted(reads_per_minute: float, policy: CopyPolicy, held: int = 0) -> int:
    """Return the number of replicas that should hold a document. ``held``: how many do, for the slack.

    Example: ``copies_wanted(150.0, CopyPolicy(least=1, most=4, reads_per_minute=60.0), held=2)`` is 3
    """
    wanted = _due(reads_per_minute, policy)
    if held > wanted:
        wanted = min(held, _due(reads_per_minute * (1 + policy.slack), policy))
    return wanted


def _due(reads_per_minute: float, policy: CopyPolicy) -> int:
    return min(policy.most, policy.least + int(reads_per_minute // policy.reads_per_minute))


def copy_targets(key: str, holders: Collection[str], copies: int, replicas: ReplicaSet) -> tuple[str, ...]:
    """Return the replicas that a document should be prefilled on to have its copies: the next ones of its key's order
    that are up and do not hold it. Empty where it has enough, or no more replicas are up.

    Example: ``copy_targets(routing_key(print, "handbook@3"), {"a"}, 2, replicas)``
    """
    up = [name for name in holders if name in replicas and replicas.up[replicas.position(name)]]
    order = in_order(replicas.ring.scores(key), replicas.up)
    others = (replicas.names[at] for at in order if replicas.names[at] not in up)
    return tuple(islice(others, max(0, copies - len(up))))
