"""`ReplicaProbes`: checks new replicas, asks those that run whether they do, and takes back those that were away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.replica_checks import ReplicaChecks
from kvproxy.backends.fleet.replica_facts import ReplicaFacts
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.errors import InvalidRequest, SetupError

logger = logging.getLogger(__name__)

TICK_S = 0.25
ALIVE_S = 5.0
"""Seconds between two questions to a replica that is up, and the longest that it may take to answer."""
RECHECK_S = 60.0
"""Seconds before a replica that does not match is checked again: it may have been started anew."""
_MOST_WHY = 400


class ReplicaProbes:
    """Runs beside the requests of a fleet. Event loop only."""

    def __init__(
        self,
        replicas: FleetReplicas,
        checks: ReplicaChecks,
        checked: Callable[[FleetReplica, ReplicaFacts], None],
    ) -> None:
        """Take the parts; ``checked`` gets each replica that has passed its check.

        Example: ``ReplicaProbes(replicas, ReplicaChecks(settings, tokenizer, template), on_checked)``
        """
        self._replicas, self._checks, self._checked = replicas, checks, checked
        self._asked: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._silent: set[str] = set()
        """Those that do not tell their load."""

    async def check(self, replica: FleetReplica) -> None:
        """Check one replica; it takes requests from now on. Raises SetupError, ReplicaFailed, InvalidRequest."""
        replica.another = False
        try:
            facts = await self._checks.of(replica.client)
        except SetupError as e:
            replica.mismatch, replica.facts = e.message, None
            self._replicas.changed(replica)
            raise
        if self._replicas.find(replica.name) is not replica:
            return  # it has left meanwhile: nobody would stop following its events
        replica.mismatch, replica.facts = None, facts
        self._silent.discard(replica.name)  # it may have been started anew, with other flags
        self._checked(replica, facts)
        self._replicas.changed(replica)

    async def check_all(self) -> None:
        """Check all replicas at once. Raises the SetupError of one that is up and does not match."""
        found = await asyncio.gather(*(self._first_check(r) for r in self._replicas), return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException):
                raise error

    async def _first_check(self, replica: FleetReplica) -> None:
        try:
            await self.check(replica)
        except (ReplicaFailed, InvalidRequest) as e:
            self._away(replica, e)
            if replica.health.takes_requests:  # it has too much to do, which is no failure of its health
                logger.warning("replica %s is not checked yet: %s", replica.name, _why(e))

    async def run(self) -> None:
        """Probe until cancelled; probes under way end with it."""
        try:
            while True:
                self.step()
                await asyncio.sleep(TICK_S)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def step(self) -> None:
        """Begin the probes that are due."""
        now = asyncio.get_running_loop().time()
        for replica in self._replicas.due():
            if replica.name not in self._running:
                self._replicas.probe_begins(replica)
                self._begin(replica, self._probe(replica), now)
        for replica in self._replicas:
            if replica.name in self._running or replica.health.probe_at is not None:
                continue
            wait = ALIVE_S if replica.mismatch is None else RECHECK_S
            if now - self._asked.get(replica.name, 0.0) >= wait:
                self._begin(replica, self._look(replica), now)
        for name in [name for name in self._asked if name not in self._replicas]:
            del self._asked[name]
            self._silent.discard(name)

    def _begin(self, replica: FleetReplica, probe: object, now: float) -> None:
        assert asyncio.iscoroutine(probe)
        self._asked[replica.name] = now
        task = asyncio.create_task(probe)
        self._running[replica.name] = task
        task.add_done_callback(lambda _: self._running.pop(replica.name, None))

    async def _probe(self, replica: FleetReplica) -> None:
        """Ask a replica that was away whether it is there, and what it serves now."""
        try:
            await replica.client.text("GET", "/health", within_s=ALIVE_S)  # routers answer in words
            if not (replica.doubted and replica.checked):  # one failure is no new start
                await self.check(replica)
        except SetupError as e:
            logger.error("%s. It gets no requests", e.message)
            self._replicas.probe_ended(replica, well=True)  # it runs; its mismatch keeps requests away
        except (ReplicaFailed, InvalidRequest) as e:
            gone = isinstance(e, ReplicaFailed) and e.unreachable
            self._replicas.probe_ended(replica, well=False, error=_why(e), gone=gone)
        except BaseException:
            self._replicas.probe_ended(replica, well=False, error="the probe was ended")
            raise
        else:
            self._replicas.probe_ended(replica, well=True)

    async def _look(self, replica: FleetReplica) -> None:
        """Ask a replica that is up; check one that was not checked, did not match, or has another engine since."""
        try:
            await replica.client.text("GET", "/health", within_s=ALIVE_S)  # routers answer in words
            if replica.another or not replica.checked:
                await self.check(replica)
            await self._load(replica)
        except SetupError as e:
            logger.error("%s. It gets no requests", e.message)
        except (ReplicaFailed, InvalidRequest) as e:
            self._away(replica, e)

    def _away(self, replica: FleetReplica, error: ReplicaFailed | InvalidRequest) -> None:
        if isinstance(error, InvalidRequest):
            error = ReplicaFailed(replica.name, "down", error.message)
        self._replicas.failed(error)

    async def _load(self, replica: FleetReplica) -> None:
        """Take in the requests that a replica has of others. One that has no such endpoint is not asked again before
        its next check; one that did not answer in time is."""
        if replica.name in self._silent:
            return
        load: object = None
        try:
            found = await replica.client.get("/load", within_s=ALIVE_S)
            load = found.get("server_load") if isinstance(found, dict) else None
        except (ReplicaFailed, InvalidRequest) as e:
            if isinstance(e, InvalidRequest) or e.kind == "misconfigured":
                self._silent.add(replica.name)
        # What was true once is not true for ever: without an answer none is counted.
        self._replicas.others(replica, load if isinstance(load, int) else None)


def _why(error: ReplicaFailed | InvalidRequest) -> str:
    """Return the reason without the replica's name, which stands in front of it in the log."""
    return (error.why if isinstance(error, ReplicaFailed) else error.message)[:_MOST_WHY]
