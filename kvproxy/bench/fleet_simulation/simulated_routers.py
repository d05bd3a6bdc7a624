"""The routers that a simulation compares: kvproxy's own code, and the usual ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvproxy.bench.fleet_simulation.fleet_traffic import TurnArrival
from kvproxy.bench.fleet_simulation.simulated_cache import BlockSpan, CacheChange, span_hashes
from kvproxy.residency.kv_events import BlocksRemoved, BlocksStored, KvEvent
from kvproxy.residency.residency_index import ResidencyIndex
from kvproxy.routing.baselines import RoundRobin, least_loaded, sticky_replica
from kvproxy.routing.pending_prefills import PendingPrefills
from kvproxy.routing.rendezvous import routing_key
from kvproxy.routing.replica_routing import choose_replica
from kvproxy.routing.replica_set import ReplicaSet
from kvproxy.routing.routed_prompt import RoutingPolicy

_TIMED_EVERY = 8
"""One call in so many is timed: reading a thread's clock is a system call, at which others may take the core."""


@dataclass(frozen=True, slots=True)
class PlacedTurn:
    """A decision of a router."""

    replica: str
    expected_tokens: int
    spilled: bool = False


class SimulatedRouter(Protocol):
    """A router in a simulation. It sees its own requests and the replicas' events, never the caches themselves."""

    def place(self, turn: TurnArrival) -> PlacedTurn:
        """Choose a replica."""

    def first_token(self, turn: TurnArrival, placed: PlacedTurn, change: CacheChange) -> None:
        """Take in that a prefill ended, with the events that the replica sends then."""

    def failed(self, turn: TurnArrival, placed: PlacedTurn) -> None:
        """Take in that a replica broke before the first token."""

    def left(self, replica: str) -> None:
        """Take in that a replica is gone."""


class PlainRouter:
    """A router that only looks at loads."""

    def __init__(self, choose: Callable[[TurnArrival], str]) -> None:
        self._choose = choose

    def place(self, turn: TurnArrival) -> PlacedTurn:
        """Choose as told; it expects nothing to be cached."""
        return PlacedTurn(self._choose(turn), 0)

    def first_token(self, turn: TurnArrival, placed: PlacedTurn, change: CacheChange) -> None:
        """Do nothing: it takes in no events."""

    def failed(self, turn: TurnArrival, placed: PlacedTurn) -> None:
        """Do nothing."""

    def left(self, replica: str) -> None:
        """Do nothing: the set of replicas says it."""


def plain_routers(replicas: ReplicaSet) -> dict[str, SimulatedRouter]:
    """Return the routers to compare with, by name; each has to have a set of its own."""
    robin = RoundRobin()
    return {
        "round_robin": PlainRouter(lambda _: robin.choose(replicas)),
        "sticky_sessions": PlainRouter(lambda turn: sticky_replica(f"session-{turn.session}", replicas)),
        "least_load": PlainRouter(lambda _: least_loaded(replicas)),
    }


class ProductRouter:
    """kvproxy's routing, residency index and pending prefills, and the processor time that they take."""

    def __init__(self, replicas: ReplicaSet, policy: RoutingPolicy, block_tokens: int) -> None:
        self._replicas, self._policy, self._block = replicas, policy, block_tokens
        self._pending = PendingPrefills()
        self.index = ResidencyIndex()
        self.decision_ns: list[int] = []
        self.event_ns: list[int] = []
        self._placed = self._applied = 0

    def place(self, turn: TurnArrival) -> PlacedTurn:
        """Look up residency and choose, as `FleetBackend.hold` does. Hashes stand for those that it remembers."""
        key, hashes = _key(turn), prompt_hashes(turn)
        timed = self._placed % _TIMED_EVERY == 0
        self._placed += 1
        began = time.thread_time_ns() if timed else 0
        resident = {name: n * self._block for name, n in self.index.longest(hashes).items()}
        present = self._pending.present(key, resident)
        routed = choose_replica(
            key,
            turn.prompt_tokens,
            present,
            self._replicas,
            self._policy,
            waiting=self._pending.waiting(key),
        )
        if timed:
            self.decision_ns.append(time.thread_time_ns() - began)
        if turn.document_blocks:
            self._pending.begin(key, routed.replica, turn.document_blocks * self._block)
        return PlacedTurn(routed.replica, routed.expected_tokens, routed.cause == "spilled-for-load")

    def first_token(self, turn: TurnArrival, placed: PlacedTurn, change: CacheChange) -> None:
        """Apply the replica's events; the document is no longer pending but there."""
        events = kv_events(change)
        timed = self._applied % _TIMED_EVERY == 0
        self._applied += 1
        began = time.thread_time_ns() if timed else 0
        self.index.apply(placed.replica, events, 0.0)
        if timed:
            self.event_ns.append(time.thread_time_ns() - began)
        self.failed(turn, placed)

    def failed(self, turn: TurnArrival, placed: PlacedTurn) -> None:
        """Take the pending prefill back."""
        if turn.document_blocks:
            self._pending.end(_key(turn), placed.replica, turn.document_blocks * self._block)

    def left(self, replica: str) -> None:
        """Clear its residency and what it was computing."""
        self.index.clear(replica)
        self._pending.forget(replica)


def document_key(document: int) -> str:
    """Return the key that a document is placed by."""
    return routing_key("vllm-0.32.0-simulated", f"document-{document}")


def prompt_hashes(turn: TurnArrival) -> tuple[int, ...]:
    """Return the hashes of all whole blocks of a prompt."""
    mine = span_hashes(-1 - turn.session, 0, turn.read_blocks)
    return span_hashes(turn.document, 0, turn.document_blocks) + mine if turn.document_blocks else mine


def kv_events(change: CacheChange) -> Sequence[KvEvent]:
    """Return a cache's change as the replica's events."""
    removed = [BlocksRemoved(_hashes(change.removed))] if change.removed else []
    return [*(BlocksStored(span.hashes()) for span in change.stored), *removed]


def _hashes(spans: Iterable[BlockSpan]) -> tuple[int, ...]:
    return tuple(value for span in spans for value in span.hashes())


def _key(turn: TurnArrival) -> str:
    return document_key(turn.document) if turn.document_blocks else f"session-{turn.session}"
