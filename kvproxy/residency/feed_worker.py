"""`FeedWorker`: the thread of an event feed: sockets in, decisions of the channels, changes out."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from kvproxy.errors import SetupError
from kvproxy.residency.channel_acts import Applied, ChannelAct, ChannelPolicy, Lost
from kvproxy.residency.event_channel import END, EventChannel
from kvproxy.residency.feed_sockets import FeedSockets, SocketMessage
from kvproxy.residency.feed_source import FeedSource, payload_rank, rank_endpoint, source_of_topic
from kvproxy.residency.kv_events import ReplicaChange
from kvproxy.residency.replica_stream import FeedStatus, ReplicaStream

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_MOST_IN_FLIGHT = 16
"""Changes that wait on the event loop. With so many the thread reads no more: sockets fill up, the senders drop, and
the gap is replayed, or clears. So a flood never takes unbounded memory."""
_MOST_RANKS = 1024

Command = Callable[["FeedWorker"], None]


class FeedWorker:
    """All that an event feed does on its own thread. `run` is the thread; other threads only append to `commands`."""

    def __init__(
        self,
        sockets: FeedSockets,
        post: Callable[[ReplicaChange], None],
        *,
        seed: str | None,
        policy: ChannelPolicy,
    ) -> None:
        """``post``: hands a change to the event loop; ``seed``: the replicas' PYTHONHASHSEED."""
        self.commands: deque[Command] = deque()
        self.statuses: dict[str, FeedStatus] = {}
        """Replaced whole by this thread; others may read it."""
        self.strangers = 0
        """Messages of unknown topics at our own socket."""
        self.stopping = threading.Event()
        self.room = threading.Semaphore(_MOST_IN_FLIGHT)
        """Taken for each change that is posted; the event loop gives it back."""
        self._sockets = sockets
        self._post = post
        self._seed = seed
        self._policy = policy
        self._streams: dict[str, ReplicaStream] = {}

    def run(self) -> None:
        """Read until `stopping` is set; close the sockets."""
        try:
            ticked = time.monotonic()
            while not self.stopping.is_set():
                while self.commands:
                    self._obey(self.commands.popleft())
                for message in self._sockets.poll(_TICK_S / 4):
                    self._take(message)
                self._deliver()
                if time.monotonic() - ticked >= _TICK_S:
                    self._tick()
                    ticked = time.monotonic()
        except Exception:
            _log.exception("the feed of KV events has ended; residency follows cached_tokens alone from here")
        finally:
            self._sockets.close()

    def follow(self, source: FeedSource) -> None:
        """Open a source; another one of the same replica and rank is replaced."""
        stream = self._streams.setdefault(source.replica, ReplicaStream(source.replica, self._seed))
        if source.rank in stream.channels:
            self._sockets.unsubscribe((source.replica, source.rank))
        channel = EventChannel(replay=source.replay is not None, policy=self._policy)
        stream.sources[source.rank], stream.channels[source.rank] = source, channel
        if source.endpoint is not None:
            try:
                self._sockets.subscribe(
                    (source.replica, source.rank), source.endpoint, source.topic, watch=source.replay is None
                )
            except (OSError, SetupError) as error:
                self._unusable(source, error)
        self._do(stream, source.rank, channel.opened(time.monotonic()))

    def unfollow(self, replica: str) -> None:
        """Close all sources of a replica."""
        stream = self._streams.pop(replica, None)
        for rank in stream.channels if stream is not None else ():
            self._sockets.unsubscribe((replica, rank))
        self.statuses = {name: status for name, status in self.statuses.items() if name != replica}

    def restart(self, replica: str, reason: str) -> None:
        """Forget what a replica told, and ask it for all again."""
        if (stream := self._streams.get(replica)) is not None:
            self._lose(stream, None, reason)

    def _obey(self, command: Command) -> None:
        """Do what the event loop told. A replica whose sockets cannot be had ends no other one's events."""
        try:
            command(self)
        except Exception:
            _log.exception("a source of KV events could not be changed")

    def _take(self, message: SocketMessage) -> None:
        if message.kind == "wake":
            return
        try:
            key = self._sender(message) if message.key is None else message.key
        except Exception:
            _log.exception("a message of topic '%.200s' could not be taken in", message.topic)
            return
        if not isinstance(key, tuple):
            return
        stream = self._streams.get(key[0])
        if stream is None or (channel := stream.channels.get(key[1])) is None:
            return
        try:
            self._act_on(stream, key[1], channel, message)
        except Exception:
            _log.exception("a message of replica '%s' could not be taken in", stream.replica)
            self._lose(stream, None, "fault")

    def _act_on(
        self, stream: ReplicaStream, rank: int, channel: EventChannel, message: SocketMessage
    ) -> None:
        now = time.monotonic()
        if message.kind == "live":
            acts = channel.live(message.number, message.payload, now)
        elif message.kind == "replay":
            if message.number == END:
                self._sockets.end_replay((stream.replica, rank))
            acts = channel.replayed(message.number, message.payload, now)
        else:
            acts = channel.restart(now, "disconnected")
        self._do(stream, rank, acts)

    def _sender(self, message: SocketMessage) -> tuple[str, int] | None:
        """Return the replica and rank of a message at our own socket; a rank's channel is made when first seen."""
        sources = (stream.sources[0] for stream in self._streams.values() if 0 in stream.sources)
        source = source_of_topic(message.topic, sources)
        if source is None:
            self.strangers += 1
            if self.strangers == 1:
                _log.warning("KV events of topic '%.200s' belong to no replica of the fleet", message.topic)
            return None
        rank = payload_rank(message.payload)
        if rank not in self._streams[source.replica].channels and rank < _MOST_RANKS:
            replay = rank_endpoint(source.replay, rank)
            self.follow(FeedSource(source.replica, None, replay, source.topic, source.address, rank))
        return source.replica, rank

    def _do(self, stream: ReplicaStream, rank: int, acts: Iterable[ChannelAct]) -> None:
        for act in acts:
            if isinstance(act, Applied):
                stream.apply(act.batch, live=act.live)
            elif isinstance(act, Lost):
                self._lose(stream, rank, act.reason)
            elif (replay := (source := stream.sources[rank]).replay) is not None:
                try:
                    self._sockets.ask((stream.replica, rank), replay, act.start)
                except (OSError, SetupError) as error:
                    stream.sources[rank] = dataclasses.replace(source, replay=None)
                    self._unusable(source, error)

    def _unusable(self, source: FeedSource, error: OSError | SetupError) -> None:
        """Log an address that no socket takes; residency of that replica is what ``cached_tokens`` tells."""
        why = error.message if isinstance(error, SetupError) else str(error)
        _log.warning("KV events of replica '%s' are not read: %s", source.replica, why)

    def _lose(self, stream: ReplicaStream, rank: int | None, reason: str) -> None:
        """Drop a replica's blocks; the channels of its other ranks begin again, as their blocks went as well.

        A replica whose payloads are all malformed, of a newer version say, has no blocks here to lose: its ranks would
        ask for replays without end, and what ``cached_tokens`` tell would be void again with each payload.
        """
        if reason == "malformed" and not stream.told:
            return
        if reason not in ("whole replay",):
            _log.info("KV events of replica '%s': %s; its blocks are unknown for now", stream.replica, reason)
        stream.lose(reason)
        now = time.monotonic()
        for other, channel in stream.channels.items():
            if other != rank:
                for act in channel.restart(now, reason):
                    if not isinstance(act, Lost):
                        self._do(stream, other, (act,))

    def _tick(self) -> None:
        now = time.monotonic()
        for stream in list(self._streams.values()):
            for rank, channel in list(stream.channels.items()):
                try:
                    self._do(stream, rank, channel.tick(now))
                except Exception:
                    _log.exception("the events of replica '%s' could not be looked after", stream.replica)
        self._deliver()
        self.statuses = {name: stream.status() for name, stream in self._streams.items()}

    def _deliver(self) -> None:
        """Post what is due, the replicas in turn; wait while the event loop is behind."""
        while waiting := [stream for stream in self._streams.values() if stream.due]:
            for stream in waiting:
                while not self.room.acquire(timeout=0.1):
                    if self.stopping.is_set():
                        return
                # Before the change: whoever is told of it may ask for the block size.
                self.statuses[stream.replica] = stream.status()
                self._post(stream.due.popleft())
