"""The feed over real sockets: late starts, lost messages, restarts, silence, ranks, our own socket, floods."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import zmq

from kvproxy.errors import SetupError
from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.channel_acts import ChannelPolicy
from kvproxy.residency.event_feed import EventFeed
from kvproxy.residency.feed_sockets import FeedSockets
from kvproxy.residency.feed_source import FeedSource
from kvproxy.residency.kv_events import BlocksStored, ReplicaChange
from kvproxy.residency.residency_index import ResidencyIndex
from tests.residency.event_publisher import CLEARED, EventPublisher, removed, stored

QUICK = ChannelPolicy(replay_s=0.3, probe_s=0.3, silent_s=1.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is told by other threads
            await asyncio.sleep(0.01)


def source(publisher: EventPublisher, replica: str = "a", *, replay: bool = True) -> FeedSource:
    return FeedSource(replica, publisher.endpoint, publisher.replay if replay else None)


async def test_a_late_subscriber_learns_what_is_there() -> None:
    index = ResidencyIndex()
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        await publisher.send(stored(10, 11, 12, parent=None), at=1000.0)
        await publisher.send(removed(12))
        feed.follow(source(publisher))
        await until(lambda: index.longest([10, 11, 12]) == {"a": 2})
        assert index.held_since("a", 10) == 1000.0
        await publisher.send(stored(12))
        await until(lambda: index.longest([10, 11, 12]) == {"a": 3})
        await publisher.send(CLEARED)
        await until(lambda: index.longest([10]) == {})
        await until(lambda: feed.status("a").batches == 4)
        status = feed.status("a")
        assert status.up_to_date and status.block_tokens == 16 and status.losses == 0


async def test_a_gap_is_replayed() -> None:
    index = ResidencyIndex()
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher))
        await publisher.subscribed()
        await publisher.send(stored(10))
        await until(lambda: index.longest([10]) == {"a": 1})
        await publisher.send(stored(11), lost=True)
        await publisher.send(stored(12))
        await until(lambda: index.longest([10, 11, 12]) == {"a": 3})
        await until(lambda: feed.status("a").gaps == 1)
        assert feed.status("a").losses == 0


async def test_what_was_lost_at_the_end_is_found_by_a_probe() -> None:
    index = ResidencyIndex()
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher))
        await publisher.send(stored(10))
        await publisher.send(stored(11), lost=True)
        await until(lambda: index.longest([10, 11]) == {"a": 2})


async def test_a_gap_that_cannot_be_replayed_clears() -> None:
    index = ResidencyIndex()
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher, replay=False))
        await publisher.subscribed()
        await publisher.send(stored(10))
        await until(lambda: index.longest([10]) == {"a": 1})
        await publisher.send(stored(11), lost=True)
        await publisher.send(stored(12))
        await until(lambda: index.longest([12]) == {"a": 1})
        assert index.longest([10]) == {}
        assert index.cleared_at("a") is not None


async def test_a_gap_beyond_the_kept_ones_leaves_what_is_kept() -> None:
    index = ResidencyIndex()
    async with EventPublisher(kept=2) as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher))
        await publisher.subscribed()
        await publisher.send(stored(10))
        await until(lambda: index.longest([10]) == {"a": 1})
        for block in (11, 12, 13, 14):
            await publisher.send(stored(block), lost=True)
        await publisher.send(stored(15))
        await until(lambda: index.longest([14, 15]) == {"a": 2})
        assert index.longest([10]) == {}


async def test_a_replica_that_started_again_is_cleared() -> None:
    index = ResidencyIndex()
    async with EventFeed(index.take, policy=QUICK) as feed:
        async with EventPublisher() as first:
            feed.follow(source(first))
            await first.send(stored(10))
            await first.send(stored(11))
            await until(lambda: index.longest([10, 11]) == {"a": 2})
        async with EventPublisher(endpoint=first.endpoint, replay=first.replay) as second:
            await second.send(stored(20))
            await until(lambda: index.longest([20]) == {"a": 1})
            assert index.longest([10]) == {}


async def test_a_silent_replica_is_cleared() -> None:
    index = ResidencyIndex()
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher))
        await publisher.send(stored(10))
        await until(lambda: index.longest([10]) == {"a": 1})
        publisher.answering = False
        await until(lambda: index.longest([10]) == {})
        assert index.cleared_at("a") is not None
        publisher.answering = True
        await until(lambda: index.longest([10]) == {"a": 1})


async def test_a_lost_connection_clears_where_nothing_can_be_asked() -> None:
    index = ResidencyIndex()
    async with EventFeed(index.take, policy=QUICK) as feed:
        async with EventPublisher() as publisher:
            feed.follow(source(publisher, replay=False))
            await publisher.subscribed()
            await publisher.send(stored(10))
            await until(lambda: index.longest([10]) == {"a": 1})
        await until(lambda: index.longest([10]) == {})
        assert feed.running


async def test_replicas_connect_to_our_socket_and_are_told_apart_by_topic() -> None:
    index = ResidencyIndex()
    async with EventPublisher() as spare:
        endpoint = spare.endpoint
    async with EventFeed(index.take, bind=endpoint, policy=QUICK) as feed:
        async with (
            EventPublisher(endpoint=endpoint, topic="kv@10.0.0.7:8000@smol", connect=True) as one,
            EventPublisher(endpoint=endpoint, topic="second", connect=True) as two,
            EventPublisher(endpoint=endpoint, topic="kv@10.0.0.7:8000@smol", connect=True, rank=1) as rank,
            EventPublisher(endpoint=endpoint, topic="stranger", connect=True) as other,
        ):
            feed.follow(FeedSource("a", None, one.replay, address="10.0.0.7:8000"))
            feed.follow(FeedSource("b", None, topic="second"))
            for publisher in (other, one, two, rank):
                await publisher.subscribed()
            await other.send(stored(10))
            await one.send(stored(10))
            await two.send(stored(10))
            await two.send(stored(11))
            await rank.send(stored(11))
            await until(lambda: index.longest([10, 11]) == {"a": 2, "b": 2})
            assert index.longest([11]) == {"a": 1, "b": 1}


async def test_a_socket_that_cannot_be_bound_is_named() -> None:
    async with EventPublisher() as taken:
        with pytest.raises(SetupError, match="cannot be bound"):
            async with EventFeed(print, bind=taken.endpoint):
                pass


async def test_a_flood_waits_for_the_event_loop_and_loses_nothing() -> None:
    """The loop takes nothing for a while; the thread stops reading; afterwards all is there, replayed if need be."""
    index = ResidencyIndex()
    blocks = list(range(100, 3100))
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher))
        for block in blocks:
            await publisher.send(stored(block))
        await until(lambda: index.longest(blocks) == {"a": len(blocks)})
        assert feed.status("a").malformed == 0


async def test_a_payload_that_is_no_batch_clears_and_is_counted() -> None:
    index = ResidencyIndex()
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher, replay=False))
        await publisher.subscribed()
        await publisher.send(stored(10))
        await until(lambda: index.longest([10]) == {"a": 1})
        await publisher.send_payload(b"\xc1")
        await until(lambda: index.longest([10]) == {})
        await publisher.send(stored(11))
        await until(lambda: index.longest([11]) == {"a": 1})
        assert feed.status("a").malformed == 1


async def test_hashes_of_another_algorithm_become_ours() -> None:
    index = ResidencyIndex()
    ids = list(range(64))
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher))
        await publisher.send(stored(1, 2, parent=None, token_ids=ids[:32], extra_keys=[["salt"], None]))
        await publisher.send(stored(3, 4, parent=2, token_ids=ids[32:], extra_keys=[None, None]))
        await publisher.send(removed(4))
        chain = BlockHashes(16).chain(ids, "salt")
        await until(lambda: index.longest(chain) == {"a": 3})
        await until(lambda: feed.status("a").same_hashes is False)


async def test_restart_and_unfollow() -> None:
    index = ResidencyIndex()
    told: list[ReplicaChange] = []

    def listen(change: ReplicaChange) -> None:
        told.append(change)
        index.take(change)

    async with EventPublisher() as publisher, EventFeed(listen, policy=QUICK) as feed:
        feed.follow(source(publisher))
        await publisher.send(stored(10))
        await until(lambda: index.longest([10]) == {"a": 1})
        feed.restart("a", "fingerprint changed")
        await until(lambda: any(change.lost == "fingerprint changed" for change in told))
        await until(lambda: index.longest([10]) == {"a": 1})
        feed.unfollow("a")
        await until(lambda: "a" not in feed.statuses)


async def test_what_is_on_its_way_of_a_replica_that_left_does_not_come() -> None:
    """It would be in the index for ever: nobody removes its blocks any more."""
    index = ResidencyIndex()
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(source(publisher))
        await publisher.send(stored(10))
        await until(lambda: index.longest([10]) == {"a": 1})
        feed._worker._post(ReplicaChange("a", (BlocksStored((11,)),)))
        feed.unfollow("a")
        index.drop("a")
        await asyncio.sleep(0)
        await until(lambda: "a" not in feed.statuses)
        assert index.longest([11]) == {} and index.size.blocks in (0, 1)
        assert index.held_blocks() == {}


async def test_a_listener_that_fails_does_not_end_the_feed(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[ReplicaChange] = []

    def listen(change: ReplicaChange) -> None:
        seen.append(change)
        raise ValueError("no")

    async with EventPublisher() as publisher, EventFeed(listen, policy=QUICK) as feed:
        feed.follow(source(publisher))
        for block in range(40):
            await publisher.send(stored(block))
        await until(lambda: sum(len(change.events) for change in seen) == 40)
    assert "could not be taken in" in caplog.text


async def test_an_address_that_is_none_takes_no_other_replicas_events(
    caplog: pytest.LogCaptureFixture,
) -> None:
    index = ResidencyIndex()
    async with EventPublisher() as publisher, EventFeed(index.take, policy=QUICK) as feed:
        feed.follow(FeedSource("wrong", "gpu:5557", "gpu:5558"))
        feed.follow(source(publisher))
        await publisher.send(stored(10))
        await until(lambda: index.longest([10]) == {"a": 1})
        assert feed.running
    assert "'wrong' are not read: gpu:5557 cannot be connected to" in caplog.text
    assert "'wrong' are not read: gpu:5558 cannot be connected to" in caplog.text


async def test_a_feed_that_has_ended_fails_nobody() -> None:
    async with EventFeed(ResidencyIndex().take) as feed:
        feed._worker.stopping.set()
        await until(lambda: not feed.running)
        feed.follow(FeedSource("a", "tcp://127.0.0.1:1", None))


async def test_every_socket_is_closed_by_the_thread_that_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that one thread closes while another one sends on it aborts the process."""
    close, closed = zmq.Socket.close, set[tuple[int, bool]]()

    def noted(socket: zmq.Socket[bytes], *rest: Any, **more: Any) -> None:
        if not socket.closed and socket.type in (zmq.PUSH, zmq.PULL, zmq.SUB):
            closed.add((socket.type, threading.current_thread() is threading.main_thread()))
        close(socket, *rest, **more)

    monkeypatch.setattr(zmq.Socket, "close", noted)
    async with EventFeed(print) as feed:
        feed.follow(FeedSource("a", "tcp://127.0.0.1:9"))
        await until(lambda: "a" in feed._worker._streams)
        monkeypatch.setattr(feed, "_wake", lambda: feed._thread.join(10))
    assert closed == {(zmq.PUSH, True), (zmq.PULL, False), (zmq.SUB, False)}
    assert feed._context.closed


async def test_a_feed_whose_thread_has_ended_still_takes_orders_and_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FeedSockets, "poll", lambda *_: int("fault"))
        async with EventFeed(print) as feed:
            await until(lambda: not feed.running)
            feed.follow(FeedSource("a", "tcp://127.0.0.1:9"))
            feed.unfollow("a")
    assert feed._context.closed
