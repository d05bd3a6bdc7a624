"""`FleetReplicas`: the replicas of a fleet, their loads and their health. Event loop only."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.routing.pending_prefills import PendingPrefills
from kvproxy.routing.prefill_speed import PrefillSample, PrefillSpeeds
from kvproxy.routing.replica_health import HealthPolicy, HealthState, ReplicaHealth
from kvproxy.routing.replica_load import ReplicaLoad
from kvproxy.routing.replica_set import ReplicaSet

logger = logging.getLogger(__name__)


class FleetReplicas:
    """Replicas by name. All changes of their health go through here, so that the router's arrays follow."""

    def __init__(
        self,
        *,
        policy: HealthPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``clock``: seconds that never go back; ``chance``: in [0, 1), spreads back-offs.

        Example: ``FleetReplicas(clock=lambda: 0.0, chance=lambda: 0.5)``
        """
        self.loads = ReplicaSet()
        self.speeds = PrefillSpeeds()
        self.pending = PendingPrefills()
        self.policy = policy or HealthPolicy()
        self.retries: Counter[str] = Counter()
        self.broken_streams = 0
        self.lost: Callable[[str], None] = lambda _: None
        """Called with the name of a replica whose cache is gone: unreachable, or started again."""
        self.left: Callable[[str], None] = lambda _: None
        """Called with the name of a replica that was taken out."""
        self._clock, self._chance = clock, chance
        self._replicas: dict[str, FleetReplica] = {}
        self._usable: frozenset[str] | None = None

    def __iter__(self) -> Iterator[FleetReplica]:
        return iter(tuple(self._replicas.values()))

    def __len__(self) -> int:
        return len(self._replicas)

    def __contains__(self, name: object) -> bool:
        return name in self._replicas

    def find(self, name: str) -> FleetReplica | None:
        """Return a replica by name; None for one that has left."""
        return self._replicas.get(name)

    def add(self, replica: FleetReplica) -> None:
        """Add a replica, which takes requests once it was checked."""
        self._replicas[replica.name] = replica
        self._usable = None
        self.loads.put(
            ReplicaLoad(
                replica.name,
                replica.weight,
                prefill_tokens_per_s=self.speeds.speed(replica.name),
                up=replica.usable,
            )
        )

    def remove(self, name: str) -> None:
        """Take a replica out: what it has begun goes on, and it gets nothing new."""
        if self._replicas.pop(name, None) is not None:
            self._usable = None
            self.loads.remove(name)
            self.speeds.forget(name)
            self.pending.forget(name)
            self.left(name)

    def usable(self) -> frozenset[str]:
        """Return the names of the replicas that take requests: the same object until that changes, since every prompt
        asks for it."""
        if self._usable is None:
            self._usable = frozenset(r.name for r in self if r.usable)
        return self._usable

    def last_resorts(self) -> tuple[str, ...]:
        """Return the checked replicas that may be tried where none takes requests: one that failed once, while it is
        probed for that too."""
        return tuple(r.name for r in self if r.checked and (r.health.last_resort or r.doubted))

    def changed(self, replica: FleetReplica) -> None:
        """Tell the router whether a replica takes requests, after any change of it."""
        self._usable = None
        if self._replicas.get(replica.name) is replica:  # another one may have its name by now
            self.loads.set_up(replica.name, replica.usable)

    def failed(self, failure: ReplicaFailed) -> None:
        """Take in that a replica has failed at a request or a probe."""
        replica = self._replicas.get(failure.replica)
        if replica is None:
            return
        now, health = self._clock(), replica.health
        if failure.kind == "failed-request":
            return  # an engine that tells its error is up: a request that it cannot serve must not take it from others
        if failure.kind == "busy":
            if failure.status == 503:
                self.set_health(replica, health.refused(now, self.policy, failure.retry_after_s))
        elif failure.unreachable:
            self.set_health(replica, health.unreachable(now, self.policy, self._chance(), failure.why))
            self._gone(replica)
        elif failure.status == 503:
            self.set_health(replica, health.refused(now, self.policy))
        elif failure.kind == "misconfigured":
            # It runs, and does not know the model or the key that it knew when it was checked: a probe of its health
            # would bring it back for the next request.
            replica.facts = None
            self.set_health(replica, health.failed(now, self.policy, self._chance(), failure.why))
        else:
            self.set_health(replica, health.failed(now, self.policy, self._chance(), failure.why))

    def succeeded(self, name: str) -> None:
        """Take in that a replica has answered a request."""
        replica = self._replicas.get(name)
        if replica is not None and replica.health.state is not HealthState.UP:
            self.set_health(replica, replica.health.succeeded(self._clock()))

    def probe_ended(self, replica: FleetReplica, *, well: bool, error: str = "", gone: bool = False) -> None:
        """Take in the end of a probe. ``gone``: nothing listens there, so that its cache is lost: a killed replica
        resets its streams first, and refuses its probe.

        Example: ``replicas.probe_ended(replica, well=False, error="it refused the connection", gone=True)``
        """
        replica.doubted = False
        found = replica.health.probed(self._clock(), self.policy, self._chance(), well=well, error=error)
        self.set_health(replica, found)
        if gone and self._replicas.get(replica.name) is replica:
            self._gone(replica)

    def _gone(self, replica: FleetReplica) -> None:
        self.lost(replica.name)
        self.pending.forget(replica.name)

    def probe_begins(self, replica: FleetReplica) -> None:
        """Take in that a replica is probed now."""
        replica.doubted = replica.health.state is HealthState.SUSPECT
        self.set_health(replica, replica.health.probing(self._clock()))

    def due(self) -> list[FleetReplica]:
        """Return the replicas to probe now; one that does not match, too: it is away while it is started anew."""
        now = self._clock()
        return [r for r in self if r.health.probe_due(now)]

    def set_health(self, replica: FleetReplica, health: ReplicaHealth) -> None:
        """Set a replica's health, and log a change of its state."""
        before, replica.health = replica.health, health
        self._tell(replica)
        if health.state is HealthState.DOWN and before.state is not HealthState.DOWN:
            replica.abandon()
        self.changed(replica)

    def _tell(self, replica: FleetReplica) -> None:
        """Log a state that was not told yet. A probe that finds again what was told is no news: a replica that stays
        down is one line, and not two for each probe."""
        health, before = replica.health, replica.told
        now = (health.state, health.last_error)
        if health.state is HealthState.PROBING or now == before:
            return
        replica.told = now
        ends = health.state is not HealthState.UP
        level = logging.WARNING if ends and before[0] is HealthState.UP else logging.INFO
        why = f": {health.last_error}" if ends and health.last_error else ""
        logger.log(level, "replica %s is %s%s", replica.name, health.state, why)

    def others(self, replica: FleetReplica, load: int | None) -> None:
        """Take in a replica's own count of its requests, None where it tells none: those that are not of this process
        count as running, too. Of this process are those that run, and those that wait for their first token.

        Example: ``replicas.others(replica, 7)``
        """
        if self._replicas.get(replica.name) is not replica:
            return
        known = self.loads.load(replica.name)
        own = known.running - replica.others + replica.waiting
        others = 0 if load is None else max(0, load - own)
        self.loads.put(replace(known, running=known.running - replica.others + others))
        replica.others = others

    def queue_s(self, name: str) -> float:
        """Return the seconds of prefill that this process has sent to a replica and that have not ended."""
        if name not in self.loads:
            return 0.0
        load = self.loads.load(name)
        return load.queued_tokens / load.prefill_tokens_per_s

    def sent(self, name: str, tokens: int) -> None:
        """Count a request that is sent to a replica; one that has left meanwhile is not counted.

        Example: ``replicas.sent("a", 1024)``
        """
        if name in self.loads:
            self.loads.sent(name, tokens)

    def prefilled(self, name: str, sample: PrefillSample) -> None:
        """Count one measured prefill; that of one that has left says nothing of the fleet.

        Example: ``replicas.prefilled("a", PrefillSample(tokens=8000, first_token_s=0.9))``
        """
        if name in self.loads:
            self.loads.set_rate(name, self.speeds.observe(name, sample))

    def identified(self, replica: FleetReplica, fingerprint: str | None) -> None:
        """Take in the engine's fingerprint of an answer: with another one, the cache of the one before is gone."""
        if not fingerprint or fingerprint == replica.fingerprint:
            return
        if replica.fingerprint:
            logger.warning("replica %s has another engine now: %s", replica.name, fingerprint[:64])
            self.lost(replica.name)
            self.speeds.forget(replica.name)
            replica.another = True
        replica.fingerprint = fingerprint[:128]
