"""The thread's part that needs no socket: a loss of one rank, a message that cannot be taken in, a loop behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from operator import methodcaller

import msgspec
import pytest
import zmq

from kvproxy.residency.channel_acts import ChannelPolicy
from kvproxy.residency.feed_sockets import FeedSockets, SocketMessage
from kvproxy.residency.feed_source import FeedSource
from kvproxy.residency.feed_worker import FeedWorker
from kvproxy.residency.kv_events import ReplicaChange
from kvproxy.residency.replica_stream import ReplicaStream
from tests.residency.event_publisher import stored


@pytest.fixture
def posted() -> list[ReplicaChange]:
    return []


@pytest.fixture
def worker(posted: list[ReplicaChange]) -> Iterator[FeedWorker]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield FeedWorker(FeedSockets(context), posted.append, seed=None, policy=ChannelPolicy())
    context.destroy(linger=0)


def run(worker: FeedWorker, *messages: SocketMessage) -> None:
    """Let the worker take messages, as if they had come, and end."""
    for message in messages:
        worker._take(message)
    worker._deliver()
    worker.stopping.set()
    worker.run()


def message(number: int, *blocks: int, rank: int = 0, topic: str = "t") -> SocketMessage:
    payload = msgspec.msgpack.encode([float(number), [stored(*blocks)], rank])
    return SocketMessage("live", None, topic, number, payload)


def test_a_rank_that_loses_its_place_voids_the_others_too(
    worker: FeedWorker, posted: list[ReplicaChange]
) -> None:
    worker.follow(FeedSource("a", None, topic="t"))
    run(
        worker,
        message(0, 1),
        message(0, 2, rank=1),
        message(5, 3),
        message(6, 4, rank=1),
        message(7, 5, rank=1),
    )
    assert [change.lost for change in posted] == ["gap", None, None, None]
    assert [event.hashes for change in posted for event in change.events] == [(3,), (4,), (5,)]  # type: ignore[union-attr]
    assert worker.statuses["a"].losses == 2


def test_strangers_and_unknown_ranks_are_counted_or_passed_over(
    worker: FeedWorker, posted: list[ReplicaChange]
) -> None:
    worker.follow(FeedSource("a", None, topic="t"))
    run(worker, message(0, 1, topic="else"), message(1, 1, topic="else"), SocketMessage("live", ("b", 0)))
    assert (worker.strangers, posted) == (2, [])


def test_a_fault_in_one_message_clears_that_replica_and_the_feed_goes_on(
    worker: FeedWorker, posted: list[ReplicaChange], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.follow(FeedSource("a", None, topic="t"))
    with monkeypatch.context() as patch:
        patch.setattr(ReplicaStream, "apply", lambda *_, **__: int("fault"))
        worker._take(message(0, 1))
    run(worker, message(1, 2))
    assert [change.lost for change in posted] == ["fault", None]


def test_a_replica_of_which_nothing_can_be_read_loses_nothing_again_and_again(
    worker: FeedWorker, posted: list[ReplicaChange]
) -> None:
    worker.follow(FeedSource("a", None, topic="t"))
    worker.follow(FeedSource("a", None, topic="t", rank=1))
    bad = [SocketMessage("live", ("a", rank), "t", number, b"\xc1") for number in range(5) for rank in (0, 1)]
    run(worker, *bad)
    assert posted == []
    status = worker._streams["a"].status()
    assert (status.malformed, status.losses) == (10, 0)


def test_sockets_that_cannot_be_had_end_no_other_replicas_feed(
    worker: FeedWorker, caplog: pytest.LogCaptureFixture
) -> None:
    """A replica tells its own endpoints, and an operator may mistype one."""
    for source in (
        FeedSource("bad", "http://127.0.0.1:1"),
        FeedSource("worse", None, "tcp://127.0.0.1:port", topic="t"),
        FeedSource("a", None, topic="s"),
    ):
        worker.commands.append(methodcaller("follow", source))
    worker.commands.append(lambda one: one._take(message(0, 1, rank=1)))
    worker.commands.append(lambda one: one._tick())
    worker.commands.append(lambda one: one.stopping.set())
    worker.run()
    assert set(worker.statuses) == {"bad", "worse", "a"}
    assert "http://127.0.0.1:1 cannot be" in caplog.text and ":port cannot be" in caplog.text
    assert "the feed of KV events has ended" not in caplog.text


def test_a_loop_that_takes_nothing_holds_the_thread_back(
    worker: FeedWorker, posted: list[ReplicaChange]
) -> None:
    worker.follow(FeedSource("a", None, topic="t"))
    for number in range(40):
        worker._take(message(number, number))
    thread = threading.Thread(target=worker._deliver)
    thread.start()
    while len(posted) < 16:
        pass
    thread.join(timeout=0.3)
    assert thread.is_alive() and len(posted) == 16
    for _ in range(24):
        worker.room.release()
    thread.join(timeout=30)
    assert len(posted) == 40
    worker.stopping.set()
    worker.run()
