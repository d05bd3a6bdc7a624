"""`FleetReplica`: one replica of a fleet, with all that is known of it. Event loop only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from kvproxy.backends.fleet.replica_client import ReplicaClient
from kvproxy.backends.fleet.replica_facts import EventSockets, ReplicaFacts
from kvproxy.routing.replica_health import ReplicaHealth


class ReplicaReads:
    """Counts of a replica's whole answers to this process, and of what it took from its cache for them."""

    def __init__(self) -> None:
        self.answers = self.hits = self.prompt_tokens = self.cached_tokens = 0

    def count(self, prompt_tokens: int, cached_tokens: int) -> None:
        """Count one answer; a replica that does not tell has taken nothing, as far as anybody knows.

        Example: ``reads.count(1200, 896)``
        """
        self.answers += 1
        self.hits += cached_tokens > 0
        self.prompt_tokens += prompt_tokens
        self.cached_tokens += cached_tokens


class FleetReplica:
    """The state of one replica. It is sent requests once it was checked, while its health allows."""

    def __init__(
        self,
        client: ReplicaClient,
        *,
        weight: float = 1.0,
        sockets: EventSockets | None = None,
        listed: bool = True,
    ) -> None:
        """``sockets``: those that the configuration names; ``listed``: it stands in the configuration, and was not
        found by DNS.

        Example: ``FleetReplica(ReplicaClient(session, "a", "http://a:8000"))``
        """
        self.client = client
        self.name = client.name
        self.weight = weight
        self.sockets = sockets
        self.listed = listed
        self.health = ReplicaHealth()
        self.told = (self.health.state, self.health.last_error)
        """The state and the reason that the log has of it."""
        self.facts: ReplicaFacts | None = None
        """The facts that it told when it was checked; None before, and while it is checked again."""
        self.mismatch: str | None = None
        """The reason that it is never used: it serves something else."""
        self.fingerprint = ""
        """Its engine's, as the last answer had it."""
        self.another = False
        """True once something else may answer there, until it is checked again."""
        self.doubted = False
        """True while it is probed after one failure: it may well be up."""
        self.reads = ReplicaReads()
        self.others = 0
        """Requests of others than this process that it has, where it tells its load."""
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def checked(self) -> bool:
        """Whether it serves this fleet's model, by its last check."""
        return self.facts is not None and self.mismatch is None

    @property
    def usable(self) -> bool:
        """Whether requests are sent to it."""
        return self.checked and self.health.takes_requests

    @property
    def state(self) -> str:
        """Its state in a few words."""
        if self.mismatch is not None:
            return f"refused: {self.mismatch}"
        if self.facts is None:
            return f"unchecked, {self.health.last_error or self.health.state}"
        return str(self.health.state) + (f": {self.health.last_error}" if self.health.last_error else "")

    @property
    def waiting(self) -> int:
        """The requests of this process that wait for their first token there."""
        return len(self._waiting)

    @contextmanager
    def awaited(self, within: asyncio.Timeout) -> Iterator[None]:
        """Wait for its first byte; :meth:`abandon` ends the wait before its time."""
        self._waiting.add(within)
        try:
            yield
        finally:
            self._waiting.discard(within)

    def abandon(self) -> None:
        """End all waits for first bytes, by TimeoutError: it is down, and others can answer."""
        now = asyncio.get_running_loop().time()
        for within in tuple(self._waiting):
            if not within.expired():
                within.reschedule(now)
        self._waiting.clear()
