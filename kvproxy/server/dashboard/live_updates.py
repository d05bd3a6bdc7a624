"""`LiveUpdates`: fragments of views, rendered once a tick for all who follow them, and sent where they have changed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kvproxy.core import Caller
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.errors import TooManyViews
from kvproxy.wire.answers import event_bytes

logger = logging.getLogger(__name__)

MOST_STREAMS = 256
"""Of all sessions."""
MOST_OF_A_TENANT = 64
"""Of all sessions of one tenant: a key begins as many sessions as it likes, and must not take the places of others."""
MOST_OF_A_SESSION = 8
TICK_S = 1.0
_EARLY_S = 0.1
"""A tick that comes a little early counts: else a fragment of every second would miss each other one."""
AFTER_A_FAULT_S = 30.0
"""Seconds until a fragment is rendered again whose rendering failed."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A fragment as a stream follows it."""

    name: str
    render: Callable[[ViewScope], Awaitable[str]]
    stamp: Callable[[ViewScope], Hashable] | None
    every_s: float


_Key = tuple[str, Caller]


class LiveFollower:
    """The news of one stream: of each fragment only the newest, so that a slow reader costs no memory."""

    def __init__(self) -> None:
        self._waiting: dict[str, bytes] = {}
        self._news = asyncio.Event()

    def put(self, name: str, event: bytes) -> None:
        """Replace what waits of a fragment.

        Example: ``follower.put("overview-figures", event)``
        """
        self._waiting[name] = event
        self._news.set()

    def take(self) -> bytes:
        """Return the events that wait, and wait for others."""
        taken = b"".join(self._waiting.values())
        self._waiting.clear()
        self._news.clear()
        return taken

    async def wait(self, seconds: float) -> None:
        """Wait until there is something to take, at most ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass


class _Topic:
    """One fragment for callers who see the same: its followers, and its newest event."""

    def __init__(self, fragment: Followed, scope: ViewScope) -> None:
        self._fragment, self._scope = fragment, scope
        self._stamp: Hashable = None
        self._html: str | None = None
        self.event = b""
        self.due = 0.0
        self.followers: set[LiveFollower] = set()

    async def refresh(self, now: float) -> None:
        """Render again; tell the followers where that differs from the last time."""
        fragment = self._fragment
        self.due = now + max(TICK_S, fragment.every_s) - _EARLY_S
        stamp = None if fragment.stamp is None else fragment.stamp(self._scope)
        if stamp is not None and stamp == self._stamp:
            return
        try:
            html = await fragment.render(self._scope)
        except Exception:
            logger.exception("the live fragment '%s' cannot be rendered", fragment.name)
            self.due = now + AFTER_A_FAULT_S
            return
        self._stamp = stamp
        if html == self._html:
            return
        self._html = html
        self.event = event_bytes.event({"name": fragment.name, "html": html}, "fragment")
        for follower in self.followers:
            follower.put(fragment.name, self.event)


class LiveUpdates:
    """All followed fragments of one application. Nothing runs while nobody follows. Event loop only."""

    def __init__(self) -> None:
        self._topics: dict[_Key, _Topic] = {}
        self._streams: Counter[str] = Counter()
        self._of_tenants: Counter[str] = Counter()
        self._ticking: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return self._streams.total()

    @contextmanager
    def following(
        self, session: str, scope: ViewScope, fragments: Collection[Followed]
    ) -> Iterator[LiveFollower]:
        """Open a stream's follower. ``session``: the nonce.

        Raises TooManyViews where this session, its tenant, or all together have too many streams.
        Example: ``with live.following(session.nonce, scope, [fragment]) as follower: ...``
        """
        tenant = scope.caller.scope
        self._refuse_too_many(session, tenant)
        follower = LiveFollower()
        self._streams[session] += 1
        self._of_tenants[tenant] += 1
        keys = [self._join(follower, scope, fragment) for fragment in fragments]
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="dashboard-live")
        try:
            yield follower
        finally:
            self._leave(follower, keys)
            for counted, one in ((self._streams, session), (self._of_tenants, tenant)):
                counted[one] -= 1
                if not counted[one]:
                    del counted[one]

    def _refuse_too_many(self, session: str, tenant: str) -> None:
        if (
            self._streams[session] >= MOST_OF_A_SESSION
            or self._of_tenants[tenant] >= MOST_OF_A_TENANT
            or self.streams >= MOST_STREAMS
        ):
            raise TooManyViews("Too many views are open at once: close some.", retry_after_s=10)

    def _join(self, follower: LiveFollower, scope: ViewScope, fragment: Followed) -> _Key:
        key = (fragment.name, scope.sharing)
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = _Topic(fragment, scope)
        elif topic.event:
            follower.put(fragment.name, topic.event)
        topic.followers.add(follower)
        return key

    def _leave(self, follower: LiveFollower, keys: Collection[_Key]) -> None:
        for key in keys:
            topic = self._topics[key]
            topic.followers.discard(follower)
            if not topic.followers:
                del self._topics[key]
        if not self._topics and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            for topic in [topic for topic in self._topics.values() if topic.due <= began]:
                await topic.refresh(began)
            await asyncio.sleep(max(0.0, began + TICK_S - loop.time()) or TICK_S)
