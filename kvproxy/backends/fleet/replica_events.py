"""`ReplicaEvents`: the KV events of a fleet's replicas, from the sockets that they tell or the configuration names."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_residency import FleetResidency
from kvproxy.backends.fleet.replica_facts import EventSockets, ReplicaFacts
from kvproxy.residency.event_feed import EventFeed
from kvproxy.residency.feed_source import FeedSource
from kvproxy.residency.kv_events import ReplicaChange
from kvproxy.settings.fleet_settings import FleetSettings


class ReplicaEvents:
    """Follows the events of replicas that were checked, while the block is open. Event loop only.

    Without events (``events: off``, routers, replicas that publish none) residency is what ``cached_tokens`` told.
    """

    def __init__(self, settings: FleetSettings, residency: FleetResidency) -> None:
        """Take the settings, and what learns of the events."""
        self._settings, self._residency = settings, residency
        self._feed: EventFeed | None = None
        self._followed: dict[str, tuple[FeedSource, ...]] = {}
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._settings.events != "off" and not self._settings.router:
            feed = EventFeed(self._take, bind=self._settings.events_bind, seed=self._settings.hash_seed)
            self._feed = await self._opened.enter_async_context(feed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed = None
        await self._opened.aclose()

    def follow(self, replica: FleetReplica, facts: ReplicaFacts) -> None:
        """Follow a replica's events, or go on where its sockets are the same.

        Example: ``events.follow(replica, await checks.of(replica.client))``
        """
        sources = feed_sources(replica, facts, bound=self._settings.events == "bind")
        if self._feed is None or self._followed.get(replica.name, ()) == sources:
            return
        known = replica.name in self._followed
        if known:
            self._feed.unfollow(replica.name)
        self._followed[replica.name] = sources
        for source in sources:
            self._feed.follow(source)
        if known:
            self._residency.lost(replica.name)
            # After what is still on its way of the old sockets.
            self._feed.restart(replica.name, "its sockets are others now")
        self._residency.listen(replica.name, listening=bool(sources))

    def lost(self, name: str) -> None:
        """Forget what a replica held, and ask its events for what it has now."""
        self._residency.lost(name)
        if self._feed is not None and name in self._followed:
            self._feed.restart(name, "it was away, or was started again")

    def left(self, name: str) -> None:
        """Forget a replica that has left the fleet."""
        if self._feed is not None and self._followed.pop(name, None) is not None:
            self._feed.unfollow(name)
        self._residency.drop(name)

    def gaps(self, name: str) -> int:
        """Return how often the numbers of a replica's events have jumped."""
        return 0 if self._feed is None else self._feed.status(name).gaps

    def lag_s(self, name: str) -> float | None:
        """Return the delay of a replica's last event in seconds; None where none has come."""
        return None if self._feed is None else self._feed.status(name).lag_s

    def _take(self, change: ReplicaChange) -> None:
        if self._feed is not None and change.events:
            self._residency.set_block(change.replica, self._feed.status(change.replica).block_tokens)
        self._residency.take(change)


def feed_sources(replica: FleetReplica, facts: ReplicaFacts, *, bound: bool) -> tuple[FeedSource, ...]:
    """Return the sources of a replica's events: those of the configuration before those that it tells.

    ``bound``: replicas connect to this proxy's own socket, and are told apart by their topics.

    Example: ``feed_sources(replica, facts, bound=False)``
    """
    address = urlsplit(replica.client.address).netloc
    sockets = facts.sockets if replica.sockets is None else (replica.sockets,)
    if bound:
        sockets = tuple(replace(one, endpoint=None) for one in sockets) or (EventSockets(None),)
    return tuple(
        FeedSource(replica.name, one.endpoint, one.replay, one.topic or None, address, one.rank)
        for one in sockets
    )
