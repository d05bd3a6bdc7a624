"""`SimulatedFleet`: replicas with caches and queues, driven by arrivals in simulated time."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from kvproxy.bench.fleet_simulation.fleet_traffic import TurnArrival
from kvproxy.bench.fleet_simulation.simulated_cache import CacheChange, SimulatedCache
from kvproxy.bench.fleet_simulation.simulated_routers import PlacedTurn, SimulatedRouter
from kvproxy.routing.replica_load import ReplicaLoad
from kvproxy.routing.replica_set import ReplicaSet


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """Assumptions about replicas, all alike."""

    replicas: int = 1
    cache_tokens: int = 200_000
    """26 GB of a Llama 3 8B in bfloat16."""
    prefill_tokens_per_s: float = 10_000.0
    step_s: float = 0.02
    """Seconds of a prompt besides its prefill."""
    token_s: float = 0.02
    block_tokens: int = 128

    def names(self) -> tuple[str, ...]:
        """Return the replicas' names."""
        return tuple(f"replica-{number}" for number in range(self.replicas))

    def prefill_s(self, tokens: int) -> float:
        """Return the seconds of a prompt of which ``tokens`` are computed."""
        return tokens / self.prefill_tokens_per_s + self.step_s

    def replica_set(self) -> ReplicaSet:
        """Return all replicas, idle."""
        return ReplicaSet(
            ReplicaLoad(name, prefill_tokens_per_s=self.prefill_tokens_per_s) for name in self.names()
        )


@dataclass(frozen=True, slots=True)
class ServedTurn:
    """A request that got its first token."""

    at: float
    prompt_tokens: int
    hit_tokens: int
    first_token_s: float
    replica: str
    spilled: bool


@dataclass(slots=True)
class _QueuedTurn:
    turn: TurnArrival
    placed: PlacedTurn
    change: CacheChange
    hit_tokens: int
    first_token_at: float
    lost: bool = False


@dataclass(slots=True)
class _Replica:
    cache: SimulatedCache
    free_at: float = 0.0
    waiting: dict[int, _QueuedTurn] = field(default_factory=dict)
    """Jobs without their first token, by number."""


class SimulatedFleet:
    """Each replica prefills one prompt after the other and generates beside it, undisturbed.

    A prompt's turn comes in the order of arrival, so its hits are known when it is sent. The router is told them, and
    the blocks stored and removed, when the prefill ends.
    """

    def __init__(self, plan: ReplicaPlan, replicas: ReplicaSet, router: SimulatedRouter) -> None:
        self._plan, self._set, self._router = plan, replicas, router
        capacity = plan.cache_tokens // plan.block_tokens
        self._replicas = {name: _Replica(SimulatedCache(capacity)) for name in plan.names()}
        self._due: list[tuple[float, int, _QueuedTurn | str]] = []
        self._number = 0
        self.served: list[ServedTurn] = []
        self.placed_again = 0

    def run(self, turns: Sequence[TurnArrival]) -> None:
        """Serve turns, which begin after all earlier ones."""
        for turn in turns:
            self._advance(turn.at)
            self._send(turn, turn.at)

    def finish(self) -> None:
        """Serve what waits."""
        self._advance(float("inf"))

    def lose(self, names: Collection[str], now: float) -> None:
        """Break replicas at ``now``. What has no first token there is sent elsewhere; its clock goes on."""
        self._advance(now)
        for name in names:
            self._set.set_up(name, False)
            self._router.left(name)
        for name in names:
            for job in list(self._replicas[name].waiting.values()):
                job.lost = True
                self._set.withdrawn(name, job.turn.prompt_tokens - job.placed.expected_tokens)
                self._router.failed(job.turn, job.placed)
                self.placed_again += 1
                self._send(job.turn, now)
            self._replicas[name].waiting.clear()

    def parts(self) -> dict[str, dict[int, int]]:
        """Return the blocks in each cache, by part."""
        return {name: replica.cache.parts() for name, replica in self._replicas.items()}

    def _send(self, turn: TurnArrival, now: float) -> None:
        placed = self._router.place(turn)
        replica = self._replicas[placed.replica]
        change = replica.cache.read(turn.parts())
        hit = change.hit_blocks * self._plan.block_tokens
        replica.free_at = max(now, replica.free_at) + self._plan.prefill_s(turn.prompt_tokens - hit)
        job = _QueuedTurn(turn, placed, change, hit, replica.free_at)
        replica.waiting[self._push(replica.free_at, job)] = job
        self._set.sent(placed.replica, turn.prompt_tokens - placed.expected_tokens)

    def _push(self, at: float, what: _QueuedTurn | str) -> int:
        self._number += 1
        heapq.heappush(self._due, (at, self._number, what))
        return self._number

    def _advance(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            at, number, what = heapq.heappop(self._due)
            if isinstance(what, str):
                self._set.ended(what)
            elif not what.lost:
                self._first_token(at, number, what)

    def _first_token(self, at: float, number: int, job: _QueuedTurn) -> None:
        name, turn = job.placed.replica, job.turn
        del self._replicas[name].waiting[number]
        self._set.prefilled(name, turn.prompt_tokens - job.placed.expected_tokens)
        self._router.first_token(turn, job.placed, job.change)
        self._push(at + turn.answer_tokens * self._plan.token_s, name)
        self.served.append(
            ServedTurn(turn.at, turn.prompt_tokens, job.hit_tokens, at - turn.at, name, job.placed.spilled)
        )
