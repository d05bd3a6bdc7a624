"""The feed's sockets: messages by key, malformed ones passed over, all closed."""

from __future__ import annotations

import pytest
import zmq

from kvproxy.errors import SetupError
from kvproxy.residency.feed_sockets import FeedSockets, SocketMessage


def received(sockets: FeedSockets, count: int) -> list[SocketMessage]:
    found: list[SocketMessage] = []
    for _ in range(200):
        found += sockets.poll(0.05)
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} of {count} came")


def test_live_and_replayed_messages_come_by_key_and_malformed_ones_not() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets = FeedSockets(context)
    publisher, router = context.socket(zmq.XPUB), context.socket(zmq.ROUTER)
    try:
        for socket in (publisher, router):
            socket.bind("tcp://127.0.0.1:0")
        live, replay = (socket.getsockopt_string(zmq.LAST_ENDPOINT) for socket in (publisher, router))
        sockets.subscribe(("a", 0), live, "kv", watch=True)
        publisher.recv()
        for frames in (
            (b"kv",),
            (b"kv", b"12", b"x"),
            (b"kv", b"\x00" * 7 + b"\x05", b"payload"),
            (b"other", b"", b""),
        ):
            publisher.send_multipart(frames)
        assert received(sockets, 1) == [SocketMessage("live", ("a", 0), "kv", 5, b"payload")]
        sockets.ask(("a", 0), replay, 7)
        client, empty, start = router.recv_multipart()
        assert (empty, start) == (b"", b"\x00" * 7 + b"\x07")
        router.send_multipart((client, b"", b"", b"\xff" * 8, b""))
        assert received(sockets, 1) == [SocketMessage("replay", ("a", 0), "", 2**64 - 1, b"")]
        sockets.ask(("a", 0), replay, 0)
        client, _, _ = router.recv_multipart()
        for number in (4, 2**64 - 1):  # as SGLang answers: without a topic
            router.send_multipart((client, b"", number.to_bytes(8, "big"), b"payload"))
        assert [(one.kind, one.number) for one in received(sockets, 2)] == [
            ("replay", 4),
            ("replay", 2**64 - 1),
        ]
        publisher.close(linger=0)
        assert received(sockets, 1)[0] == SocketMessage("gone", ("a", 0))
        sockets.unsubscribe(("a", 0))
        assert list(sockets.poll(0.01)) == []
    finally:
        sockets.close()
        context.destroy(linger=0)


def test_a_socket_that_is_taken_is_named() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    one, two = FeedSockets(context), FeedSockets(context)
    try:
        one.bind("tcp://127.0.0.1:0")
        with pytest.raises(SetupError, match="events_bind"):
            two.bind("nonsense")
    finally:
        one.close()
        two.close()
        context.destroy(linger=0)
