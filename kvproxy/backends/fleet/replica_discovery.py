"""`ReplicaDiscovery`: the replicas of a fleet, from the configuration and from DNS."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Container, Iterable

import aiohttp

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.replica_client import ReplicaClient
from kvproxy.backends.fleet.replica_facts import EventSockets
from kvproxy.settings.fleet_settings import DnsReplicaSettings, FleetSettings, ReplicaSettings

logger = logging.getLogger(__name__)

ANSWERS = 3
"""Answers of DNS in a row that a replica must be missing from before it is taken out while it is healthy: a name
server may give a part of the addresses at a time, and what is known of a replica's cache is gone with it."""


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return the addresses of a host name, in order. Blocks; raises OSError.

    Example: ``await asyncio.to_thread(resolve, "vllm.default.svc", 8000)``
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(sorted({str(address[0]) for *_, address in found}))


class ReplicaDiscovery:
    """Adds replicas to a fleet and takes them out again. Event loop only."""

    def __init__(
        self,
        settings: FleetSettings,
        session: aiohttp.ClientSession,
        replicas: FleetReplicas,
        lookup: Callable[[str, int], Iterable[str]] = resolve,
    ) -> None:
        """``lookup`` runs on a thread.

        Example: ``ReplicaDiscovery(settings, session, replicas).add_listed()``
        """
        self._settings, self._session, self._replicas, self._lookup = settings, session, replicas, lookup
        self._fault: str | None = None
        self._missing: Counter[str] = Counter()
        """Answers in a row that lack a replica, by its name."""

    def add_listed(self) -> None:
        """Add the replicas that the configuration lists."""
        for one in self._settings.replicas:
            client = ReplicaClient(self._session, one.shown_name, one.address, one.api_key)
            self._replicas.add(FleetReplica(client, weight=one.weight, sockets=_sockets(one)))

    async def refresh(self) -> None:
        """Add the addresses that DNS has now, and take out those that it has no more: what they have begun goes on.

        A replica that takes requests stays until ``ANSWERS`` answers in a row lack it. A name that cannot be resolved
        changes nothing.
        """
        dns = self._settings.dns
        if dns is None:
            return
        try:
            addresses = await asyncio.to_thread(self._lookup, dns.host, dns.port)
        except OSError as e:
            self._unresolved(dns.host, e.strerror or str(e))
            return
        self._fault = None
        wanted = {_name(address, dns.port): address for address in addresses}
        for replica in self._replicas:
            if not replica.listed and self._has_left(replica, wanted):
                logger.info("replica %s has left %s", replica.name, dns.host)
                self._replicas.remove(replica.name)
        for name, address in wanted.items():
            if name not in self._replicas:
                self._replicas.add(self._found(dns, name, address))

    def _has_left(self, replica: FleetReplica, wanted: Container[str]) -> bool:
        """Count an answer; return whether a replica is to be taken out after it."""
        name = replica.name
        if name not in wanted:
            self._missing[name] += 1
            if replica.usable and self._missing[name] < ANSWERS:
                return False
        del self._missing[name]  # a Counter deletes what it does not have, too
        return name not in wanted

    def _unresolved(self, host: str, fault: str) -> None:
        """Log a fault of the name server once, until it is another one or is over."""
        if fault != self._fault:
            logger.warning(
                "fleet '%s': the name %s cannot be resolved (%s): see dns.host; it is tried again and again",
                self._settings.name,
                host,
                fault,
            )
        self._fault = fault

    async def run(self) -> None:
        """Ask DNS again and again, until cancelled; ends at once without it."""
        while self._settings.dns is not None:
            await asyncio.sleep(self._settings.dns.refresh_s)
            await self.refresh()

    def _found(self, dns: DnsReplicaSettings, name: str, address: str) -> FleetReplica:
        host = f"[{address}]" if ":" in address else address
        client = ReplicaClient(self._session, name, f"{dns.scheme}://{host}:{dns.port}", dns.api_key)
        sockets = None
        if dns.events_port is not None or dns.replay_port is not None:
            events, replay = (
                None if port is None else f"tcp://{host}:{port}"
                for port in (dns.events_port, dns.replay_port)
            )
            sockets = EventSockets(events, replay)
        return FleetReplica(client, sockets=sockets, listed=False)


def _name(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _sockets(one: ReplicaSettings) -> EventSockets | None:
    return None if one.events is None and one.replay is None else EventSockets(one.events, one.replay)
