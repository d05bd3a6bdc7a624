"""`ReplicaSet`: the replicas of a fleet with their loads, in arrays, so that a decision walks no Python objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from kvproxy.routing.rendezvous import RendezvousRing
from kvproxy.routing.replica_load import ReplicaLoad


class ReplicaSet:
    """Replicas by name and by position. Changing a load costs a microsecond; adding or removing a replica builds the
    arrays anew. One thread (the event loop's) reads and writes it."""

    __slots__ = ("_at", "capacity", "names", "queued", "rate", "ring", "running", "up", "weight")

    def __init__(self, loads: Iterable[ReplicaLoad] = ()) -> None:
        self._build({load.name: load for load in loads})

    def _build(self, loads: Mapping[str, ReplicaLoad]) -> None:
        ordered = list(loads.values())
        self.names = tuple(load.name for load in ordered)
        """Names by position."""
        self._at = {name: at for at, name in enumerate(self.names)}
        self.weight = np.array([load.weight for load in ordered], dtype=np.float64)
        self.queued = np.array([load.queued_tokens for load in ordered], dtype=np.float64)
        """Queued prefill tokens, by position; the others alike."""
        self.running = np.array([load.running for load in ordered], dtype=np.float64)
        self.rate = np.array([load.prefill_tokens_per_s for load in ordered], dtype=np.float64)
        self.capacity = np.array([load.capacity for load in ordered], dtype=np.float64)
        self.up = np.array([load.up for load in ordered], dtype=np.bool_)
        self.ring = RendezvousRing(self.names, [load.weight for load in ordered])

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._at

    def position(self, name: str) -> int:
        """Return where a replica stands in the arrays. Raises KeyError for one that is not in the set."""
        return self._at[name]

    def positions(self, names: Iterable[str]) -> npt.NDArray[np.intp]:
        """Return the positions of the names that are in the set, ``intp [found]``; others are left out."""
        found = (self._at.get(name, -1) for name in names)
        return np.array([at for at in found if at >= 0], dtype=np.intp)

    def load(self, name: str) -> ReplicaLoad:
        """Return one replica's load as a value. Raises KeyError for one that is not in the set."""
        at = self._at[name]
        return ReplicaLoad(
            name=name,
            weight=float(self.weight[at]),
            queued_tokens=float(self.queued[at]),
            running=int(self.running[at]),
            prefill_tokens_per_s=float(self.rate[at]),
            up=bool(self.up[at]),
            capacity=int(self.capacity[at]),
        )

    def loads(self) -> dict[str, ReplicaLoad]:
        """Return every replica's load by name, in the order of positions."""
        return {name: self.load(name) for name in self.names}

    def put(self, load: ReplicaLoad) -> None:
        """Add a replica, or replace what is known of it."""
        at = self._at.get(load.name)
        if at is None or self.weight[at] != load.weight:
            self._build(self.loads() | {load.name: load})
            return
        self.queued[at], self.running[at] = load.queued_tokens, load.running
        self.rate[at], self.capacity[at], self.up[at] = load.prefill_tokens_per_s, load.capacity, load.up

    def remove(self, name: str) -> None:
        """Take a replica out. Does nothing for one that is not in the set."""
        if name in self._at:
            self._build({other: load for other, load in self.loads().items() if other != name})

    def set_up(self, name: str, up: bool) -> None:
        """Say whether a replica takes requests.

        Example: ``replicas.set_up("10.0.0.7:8000", health.takes_requests)``
        """
        self.up[self._at[name]] = up

    def set_rate(self, name: str, tokens_per_s: float) -> None:
        """Set a replica's measured speed of prefill, in tokens a second.

        Example: ``replicas.set_rate("10.0.0.7:8000", 9000.0)``
        """
        if tokens_per_s <= 0:
            raise ValueError(f"a prefill speed of {tokens_per_s} tokens a second")
        self.rate[self._at[name]] = tokens_per_s

    def sent(self, name: str, tokens: float) -> None:
        """Count a request that was sent: ``tokens`` of its prompt are to be computed there.

        Example: ``replicas.sent(routed.replica, prompt_tokens - routed.expected_tokens)``
        """
        self.queued[self._at[name]] += tokens

    def prefilled(self, name: str, tokens: float) -> None:
        """Count its first token: what `sent` added to the queue is done, and the request runs.

        Example: ``replicas.prefilled(routed.replica, prompt_tokens - routed.expected_tokens)``
        """
        self.withdrawn(name, tokens)
        if name in self._at:
            self.running[self._at[name]] += 1

    def withdrawn(self, name: str, tokens: float) -> None:
        """Take back what `sent` added, of a request that failed or was cancelled before its first token.

        Example: ``replicas.withdrawn(routed.replica, prompt_tokens - routed.expected_tokens)``
        """
        if name in self._at:
            at = self._at[name]
            self.queued[at] = max(0.0, self.queued[at] - tokens)

    def ended(self, name: str) -> None:
        """Count the end of a request that ran, however it ended."""
        if name in self._at:
            at = self._at[name]
            self.running[at] = max(0.0, self.running[at] - 1)
