"""`FeedSockets`: the ZMQ sockets of an event feed, on the one thread that may use them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Literal

from kvproxy.errors import SetupError
from kvproxy.residency.event_decoder import MOST_PAYLOAD

try:
    import zmq
except ImportError as missing:
    raise SetupError("KV events need msgspec and pyzmq; pip install 'kvproxy[fleet]'") from missing

_RECEIVED = 1_000
"""Messages of one socket that wait in memory; beyond that the sender's side drops, and we see a gap."""
_AT_ONCE = 256
"""Messages that are read of one socket before the next one's turn."""
_MOST_SOCKETS = 16_384

SocketKind = Literal["live", "replay", "gone", "wake"]


@dataclass(frozen=True, slots=True)
class SocketMessage:
    """A message, or a lost connection, of one of the sockets."""

    kind: SocketKind
    key: Hashable
    """The key that the socket was opened under; None for the bound one's."""
    topic: str = ""
    number: int = 0
    payload: bytes = b""


class FeedSockets:
    """Subscriptions and replay requests by key. For one thread, which also calls `close`.

    Each source has a socket of its own, unless replicas connect to ours: a thousand replicas that are connected to take
    some 4,000 file descriptors.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """``context``: the caller's, who also makes the waking socket in it, and terminates it once both are closed."""
        self._context = context
        context.set(zmq.MAX_SOCKETS, _MOST_SOCKETS)
        self._poller = zmq.Poller()
        self._roles: dict[zmq.Socket[bytes], tuple[SocketKind, Hashable]] = {}
        self._by_role: dict[tuple[SocketKind, Hashable], zmq.Socket[bytes]] = {}

    def listen_for_waking(self, endpoint: str) -> None:
        """Wake `poll` by what comes to an ``inproc`` endpoint."""
        socket = self._add(zmq.PULL, "wake", None)
        socket.bind(endpoint)

    def bind(self, endpoint: str) -> None:
        """Open the one socket that replicas connect to."""
        socket = self._add(zmq.SUB, "live", None)
        socket.subscribe(b"")
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise SetupError(f"events_bind: {endpoint} cannot be bound: {error}") from error

    def subscribe(self, key: Hashable, endpoint: str, topic: str | None, *, watch: bool) -> None:
        """Connect to a replica's events. ``watch``: tell of a lost connection, as ``gone``. Raises SetupError for an
        endpoint that ZMQ does not take, with nothing left open.

        Example: ``subscribe(("a", 0), "tcp://10.0.0.7:5557", None, watch=False)``
        """
        socket = self._add(zmq.SUB, "live", key)
        socket.subscribe((topic or "").encode())
        if watch:
            monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            self._keep(monitor, "gone", key)
        self._connect(socket, "live", key, endpoint)

    def ask(self, key: Hashable, endpoint: str, start: int) -> None:
        """Ask for a replay from ``start``, on a new connection: answers to an older question are not mixed in. Raises
        SetupError for an endpoint that ZMQ does not take.

        Example: ``ask(("a", 0), "tcp://10.0.0.7:5558", 0)``
        """
        self.end_replay(key)
        socket = self._add(zmq.DEALER, "replay", key)
        self._connect(socket, "replay", key, endpoint)
        socket.send_multipart((b"", start.to_bytes(8, "big")), flags=zmq.NOBLOCK)

    def end_replay(self, key: Hashable) -> None:
        """Close the replay of a source, if one is open."""
        self._close("replay", key)

    def unsubscribe(self, key: Hashable) -> None:
        """Close all sockets of a source."""
        self._close("live", key)
        self._close("replay", key)

    def poll(self, seconds: float) -> Iterator[SocketMessage]:
        """Yield what came, at most `_AT_ONCE` of each socket; wait up to ``seconds`` where nothing is there."""
        for socket, _ in self._poller.poll(int(seconds * 1000)):
            for _ in range(_AT_ONCE):
                role = self._roles.get(socket)
                if role is None or not (message := _read(socket, *role)):
                    break
                yield from message

    def close(self) -> None:
        """Close every socket that was opened here. The context stays: to destroy it would close the waking socket too,
        which another thread may be sending on, and libzmq then aborts the process."""
        for role in list(self._by_role):
            self._close(*role)

    def _add(self, type: int, kind: SocketKind, key: Hashable) -> zmq.Socket[bytes]:
        socket = self._context.socket(type)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, _RECEIVED)
        socket.setsockopt(zmq.MAXMSGSIZE, MOST_PAYLOAD)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15_000)
        self._keep(socket, kind, key)
        return socket

    def _connect(self, socket: zmq.Socket[bytes], kind: SocketKind, key: Hashable, endpoint: str) -> None:
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._close(kind, key)
            raise SetupError(f"{endpoint} cannot be connected to: {error}") from error

    def _keep(self, socket: zmq.Socket[bytes], kind: SocketKind, key: Hashable) -> None:
        self._roles[socket] = (kind, key)
        self._by_role[kind, key] = socket
        self._poller.register(socket, zmq.POLLIN)

    def _close(self, kind: SocketKind, key: Hashable) -> None:
        if kind == "live" and ("gone", key) in self._by_role:
            self._by_role[kind, key].disable_monitor()
            self._close("gone", key)
        if (socket := self._by_role.pop((kind, key), None)) is not None:
            self._poller.unregister(socket)
            del self._roles[socket]
            socket.close(linger=0)


def _read(socket: zmq.Socket[bytes], kind: SocketKind, key: Hashable) -> tuple[SocketMessage, ...] | None:
    """Return what one message says, nothing where it is malformed; None where none is there."""
    try:
        frames = socket.recv_multipart(flags=zmq.NOBLOCK)
    except zmq.Again:
        return None
    if kind in ("wake", "gone"):
        return (SocketMessage(kind, key),)
    if kind == "replay":
        # SGLang, and vLLM before it had topics there, send the number and the payload alone.
        frames = frames[1:] if len(frames) > 3 else [b"", *frames[1:]]
    if len(frames) != 3 or len(frames[1]) != 8:
        return ()
    topic, number, payload = frames
    return (SocketMessage(kind, key, topic.decode(errors="replace"), int.from_bytes(number, "big"), payload),)
