"""`EventFeed`: the KV events of all replicas of a fleet, read on a thread, told on the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from kvproxy.errors import SetupError
from kvproxy.residency.channel_acts import ChannelPolicy
from kvproxy.residency.feed_sockets import FeedSockets
from kvproxy.residency.feed_source import FeedSource
from kvproxy.residency.feed_worker import FeedWorker
from kvproxy.residency.kv_events import ReplicaChange
from kvproxy.residency.replica_stream import FeedStatus

try:
    import zmq
except ImportError as missing:
    raise SetupError("KV events need msgspec and pyzmq; pip install 'kvproxy[fleet]'") from missing

_log = logging.getLogger(__name__)
_WAKE = "inproc://wake"


class EventFeed:
    """The subscriptions to the replicas' events, held in ``async with``.

    ``listener`` gets every change on the event loop, in order for each replica: hand over ``index.take``, or a function
    that calls it. A change has some thousand blocks at most, and at most 16 wait. Decoding, sequence numbers, replays
    and the mapping of hashes run on one thread. At its start a replica is asked for all that it still has in its replay
    buffer, so a proxy that starts later knows what is there.

    Example::

        async with EventFeed(index.take, seed=settings.hash_seed) as feed:
            feed.follow(FeedSource("a", "tcp://10.0.0.7:5557", "tcp://10.0.0.7:5558"))
    """

    def __init__(
        self,
        listener: Callable[[ReplicaChange], None],
        *,
        bind: str | None = None,
        seed: str | None = None,
        policy: ChannelPolicy | None = None,
    ) -> None:
        """``bind``: the socket that replicas connect to, None where each is connected to; ``seed``: the replicas'
        PYTHONHASHSEED; ``policy``: times and bounds."""
        self._listener = listener
        self._bind = bind
        self._seed = seed
        self._policy = policy or ChannelPolicy()
        self._lags: dict[str, float] = {}
        self._followed: set[str] = set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            sockets = FeedSockets(self._context)
            sockets.listen_for_waking(_WAKE)
            if self._bind is not None:
                sockets.bind(self._bind)
            self._waker = self._context.socket(zmq.PUSH)
            self._waker.connect(_WAKE)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._worker = FeedWorker(sockets, self._post, seed=self._seed, policy=self._policy)
        self._thread = threading.Thread(target=self._worker.run, name="kv-events", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.stopping.set()
        self._wake()
        self._waker.close(linger=0)
        await asyncio.to_thread(self._end)

    def follow(self, source: FeedSource) -> None:
        """Begin to read a replica's events, or one rank's; a source of the same replica and rank is replaced."""
        self._followed.add(source.replica)
        self._tell(lambda worker: worker.follow(source))

    def unfollow(self, replica: str) -> None:
        """Stop reading a replica's events: from here on the listener gets none. The index keeps what it has until
        ``index.drop``."""
        self._followed.discard(replica)
        self._lags.pop(replica, None)
        self._tell(lambda worker: worker.unfollow(replica))

    def restart(self, replica: str, reason: str) -> None:
        """Void all that a replica told, and ask for what it has: after its fingerprint changed, say.

        Example: ``restart("10.0.0.7:8000", "fingerprint changed")``
        """
        self._tell(lambda worker: worker.restart(replica, reason))

    def status(self, replica: str) -> FeedStatus:
        """Return the state of one replica's feed, at most a second old."""
        known = self._worker.statuses.get(replica, FeedStatus(replica))
        return replace(known, lag_s=self._lags.get(replica))

    @property
    def statuses(self) -> Mapping[str, FeedStatus]:
        """The states of all replicas' feeds."""
        return {name: self.status(name) for name in list(self._worker.statuses)}

    @property
    def running(self) -> bool:
        """False after the thread ended by a fault, which the log tells."""
        return self._thread.is_alive()

    def _end(self) -> None:
        """Wait for the thread, which has closed its own sockets then, and end the context: no thread has any other."""
        self._thread.join()
        self._context.term()

    def _tell(self, command: Callable[[FeedWorker], None]) -> None:
        self._worker.commands.append(command)
        self._wake()

    def _wake(self) -> None:
        try:
            self._waker.send(b"", flags=zmq.NOBLOCK)
        except zmq.ZMQError:
            pass  # Enough is waiting to wake it; or the thread has ended, which the log tells.

    def _post(self, change: ReplicaChange) -> None:
        """Hand a change over; called on the feed's thread."""
        try:
            self._loop.call_soon_threadsafe(self._take, change)
        except RuntimeError:
            self._worker.stopping.set()  # The loop is closed.

    def _take(self, change: ReplicaChange) -> None:
        self._worker.room.release()
        if change.replica not in self._followed:
            return  # It was on its way, and would put a replica that has left into the index again.
        if change.live and change.at is not None:
            self._lags[change.replica] = max(0.0, time.time() - change.at)
        try:
            self._listener(change)
        except Exception:
            _log.exception("a change of replica '%s' could not be taken in", change.replica)
