"""Other routings, to compare with in benches: round robin, sticky sessions, least load."""

from __future__ import annotations

import numpy as np

from kvproxy.routing.rendezvous import in_order
from kvproxy.routing.replica_set import ReplicaSet


class RoundRobin:
    """Each replica in turn; those that are down are passed over."""

    def __init__(self) -> None:
        self._next = 0

    def choose(self, replicas: ReplicaSet) -> str:
        """Return the next replica that is up; empty where none is."""
        for _ in range(len(replicas)):
            at = self._next % len(replicas)
            self._next = at + 1
            if replicas.up[at]:
                return replicas.names[at]
        return ""


def sticky_replica(session: str, replicas: ReplicaSet) -> str:
    """Return the replica of a session by rendezvous hashing, whatever it has to do; empty where none is up.

    Example: ``sticky_replica("session-17", replicas)``
    """
    return next((replicas.names[at] for at in in_order(replicas.ring.scores(session), replicas.up)), "")


def least_loaded(replicas: ReplicaSet) -> str:
    """Return the replica that is up and has the least seconds of prefill queued, the first of equals; empty where none
    is up."""
    if not replicas.up.any():
        return ""
    seconds = np.where(replicas.up, replicas.queued / replicas.rate, np.inf)
    return replicas.names[int(np.argmin(seconds))]
