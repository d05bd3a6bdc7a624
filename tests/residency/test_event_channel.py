"""The channel's decisions against a sender that loses, cuts replays short, starts again and falls silent."""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec
import pytest

from kvproxy.residency.channel_acts import Applied, ChannelAct, ChannelPolicy, Lost, ReplayAsked
from kvproxy.residency.event_channel import END, EventChannel
from kvproxy.residency.kv_events import AllCleared, BlocksStored
from tests.residency.event_publisher import CLEARED, removed, stored


class Sender:
    """A replica's publisher: numbers from 0, the last payloads kept, and the blocks that it really holds."""

    def __init__(self, source: random.Random, kept: int) -> None:
        self.source, self.kept = source, kept
        self.payloads: list[tuple[int, bytes]] = []
        self.number = 0
        self.held: set[int] = set()

    def publish(self, now: float) -> tuple[int, bytes]:
        block, draw = self.source.randrange(50), self.source.random()
        if draw < 0.6:
            event = stored(block)
            self.held.add(block)
        elif draw < 0.97:
            event = removed(block)
            self.held.discard(block)
        else:
            event = CLEARED
            self.held.clear()
        message = (self.number, msgspec.msgpack.encode([now, [event], 0]))
        self.number += 1
        self.payloads = [*self.payloads, message][-self.kept :]
        return message

    def answer(self, start: int) -> list[tuple[int, bytes]]:
        return [*((n, payload) for n, payload in self.payloads if n >= start), (END, b"")]


class Line:
    """A channel and a sender with a network between them that loses messages."""

    def __init__(self, seed: int, kept: int) -> None:
        self.source = random.Random(seed)
        self.sender = Sender(self.source, kept)
        self.channel = EventChannel(replay=True)
        self.believed: set[int] = set()
        self.live: list[tuple[int, bytes]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.loss = self.source.choice([0.0, 0.1, 0.3])
        self.now = 1000.0

    def do(self, acts: Iterable[ChannelAct]) -> None:
        for act in acts:
            if isinstance(act, Lost):
                self.believed.clear()
            elif isinstance(act, ReplayAsked):
                self.ask(act)
            else:
                self.apply(act)

    def ask(self, act: ReplayAsked) -> None:
        self.answers = [] if act.fresh else self.answers
        answer = self.sender.answer(act.start)
        # A socket that is full drops what comes last, the end mark included.
        cut = self.source.randrange(len(answer)) if self.source.random() < self.loss else len(answer)
        self.answers += answer[:cut]

    def apply(self, act: Applied) -> None:
        for event in act.batch.events:
            if isinstance(event, AllCleared):
                self.believed.clear()
            elif isinstance(event, BlocksStored):
                self.believed.update(event.hashes)
            else:
                self.believed.difference_update(event.hashes)

    def step(self) -> None:
        self.now += self.source.choice([0.01, 0.1, 1.0])
        draw = self.source.random()
        if draw < 0.5:
            message = self.sender.publish(self.now)
            if self.source.random() > self.loss:
                self.live.append(message)
        elif draw < 0.51:
            self.start_again()
        for _ in range(self.source.randrange(3)):
            if self.live:
                self.do(self.channel.live(*self.live.pop(0), self.now))
        for _ in range(self.source.randrange(4)):
            if self.answers:
                self.do(self.channel.replayed(*self.answers.pop(0), self.now))
        self.do(self.channel.tick(self.now))

    def start_again(self) -> None:
        """The replica is away for half a minute and comes back as another process."""
        self.sender = Sender(self.source, self.sender.kept)
        self.live.clear()
        for _ in range(30):
            self.now += 1
            self.do(self.channel.tick(self.now))
            self.answers.clear()

    def settle(self) -> None:
        """Let everything arrive from now on, and time pass."""
        self.loss = 0.0
        for _ in range(200):
            self.now += 1
            while self.live:
                self.do(self.channel.live(*self.live.pop(0), self.now))
            while self.answers:
                self.do(self.channel.replayed(*self.answers.pop(0), self.now))
            self.do(self.channel.tick(self.now))


@pytest.mark.parametrize("kept", [1, 3, 1000])
def test_what_is_believed_becomes_what_is_held(kept: int) -> None:
    """Of a sender that keeps all: exactly. Of one that keeps few: never more than is held."""
    for seed in range(120):
        line = Line(seed, kept)
        line.do(line.channel.opened(line.now))
        for _ in range(250):
            line.step()
        line.settle()
        assert line.believed <= line.sender.held, seed
        if kept == 1000:
            assert line.believed == line.sender.held, seed
            assert line.channel.up_to_date


def batch(at: float, block: int) -> bytes:
    return msgspec.msgpack.encode([at, [stored(block)], 0])


def blocks(acts: Iterable[ChannelAct]) -> list[int | str]:
    found: list[int | str] = []
    for act in acts:
        if isinstance(act, Applied):
            found += [
                one for event in act.batch.events if isinstance(event, BlocksStored) for one in event.hashes
            ]
        elif isinstance(act, Lost):
            found.append(act.reason)
        else:
            found.append(f"ask {act.start}")
    return found


def test_a_channel_without_replays_clears_on_a_gap_and_on_a_restart() -> None:
    channel = EventChannel(replay=False)
    assert blocks(channel.opened(0.0)) == []
    assert blocks(channel.live(4, batch(1, 10), 0.0)) == [10]
    assert blocks(channel.live(5, batch(2, 11), 0.0)) == [11]
    assert blocks(channel.live(7, batch(3, 12), 0.0)) == ["gap", 12]
    assert blocks(channel.live(0, batch(4, 13), 0.0)) == ["restarted", 13]
    assert blocks(channel.tick(1e6)) == []


def test_what_comes_during_the_first_replay_waits_and_is_applied_once() -> None:
    channel = EventChannel(replay=True)
    assert blocks(channel.opened(0.0)) == ["ask 0"]
    assert blocks(channel.live(1, batch(2, 11), 0.0)) == []
    early = channel.up_to_date
    assert not early
    assert blocks(channel.replayed(0, batch(1, 10), 0.0)) == [10]
    assert blocks(channel.replayed(1, batch(2, 11), 0.0)) == [11]
    assert blocks(channel.replayed(END, b"", 0.0)) == []
    assert blocks(channel.live(1, batch(2, 11), 0.0)) == []
    assert channel.up_to_date and channel.next_number == 2


def test_a_sender_that_never_answers_is_read_all_the_same() -> None:
    channel = EventChannel(replay=True, policy=ChannelPolicy(replay_s=5))
    channel.opened(0.0)
    assert blocks(channel.live(0, batch(1, 10), 1.0)) == []
    assert blocks(channel.tick(6.0)) == [10]
    assert blocks(channel.live(2, batch(2, 11), 7.0)) == ["gap", 11]


def test_the_same_number_with_other_bytes_is_another_process() -> None:
    channel = EventChannel(replay=True)
    channel.opened(0.0)
    channel.replayed(0, batch(1, 10), 0.0)
    channel.replayed(END, b"", 0.0)
    assert blocks(channel.tick(6.0)) == ["ask 0"]
    assert blocks(channel.replayed(0, batch(5, 20), 6.0)) == ["restarted"]
    assert blocks(channel.replayed(END, b"", 6.0)) == ["ask 0"]
    assert blocks(channel.replayed(0, batch(5, 20), 6.0)) == [20]


def test_held_payloads_are_bounded() -> None:
    channel = EventChannel(replay=True, policy=ChannelPolicy(most_held=3))
    channel.opened(0.0)
    for number in range(10):
        channel.live(number, batch(number, number), 0.0)
    assert blocks(channel.replayed(END, b"", 0.0)) == [0, 1, 2]
    assert blocks(channel.live(10, batch(10, 10), 1.0)) == ["ask 2"]


def test_a_malformed_payload_is_a_loss_that_is_counted() -> None:
    channel = EventChannel(replay=False)
    assert blocks(channel.live(0, b"x", 0.0)) == ["malformed"]
    assert channel.counts.malformed == 1
    assert blocks(channel.live(1, batch(1, 10), 0.0)) == [10]


def test_a_sender_whose_clock_went_back_is_asked_again_though_it_is_busy() -> None:
    """Its payloads look like old ones that come late; without a question the channel would be deaf to it."""
    channel = EventChannel(replay=True, policy=ChannelPolicy(probe_s=5))
    channel.opened(0.0)
    channel.replayed(0, batch(1000, 10), 0.0)
    channel.replayed(END, b"", 0.0)
    asked = [blocks(channel.live(number, batch(900 + number, number), number)) for number in range(2, 6)]
    assert asked == [[]] * 4
    assert blocks(channel.tick(6.0)) == ["ask 0"]
    assert blocks(channel.replayed(0, batch(900, 20), 6.0)) == ["restarted"]
    assert blocks(channel.replayed(END, b"", 6.0)) == ["ask 0"]
    assert blocks(channel.replayed(0, batch(900, 20), 6.0)) == [20]


def test_a_gap_is_seen_without_replays_though_the_clock_went_back() -> None:
    channel = EventChannel(replay=False)
    channel.live(0, batch(1000, 10), 0.0)
    assert blocks(channel.live(2, batch(900, 12), 0.0)) == ["gap", 12]
    assert blocks(channel.live(3, batch(901, 13), 0.0)) == [13]


def asking_for_a_gap() -> EventChannel:
    """A channel that holds number 2 and has asked for all before it."""
    channel = EventChannel(replay=True)
    channel.opened(0.0)
    channel.replayed(0, batch(1, 10), 0.0)
    channel.replayed(END, b"", 0.0)
    assert blocks(channel.live(2, batch(2, 12), 1.0)) == ["ask 0"]
    return channel


def test_what_waited_for_a_replay_is_void_once_the_channel_begins_again() -> None:
    """It may be of the process before, and one that has sent nothing yet would not contradict it."""
    channel = asking_for_a_gap()
    assert blocks(channel.restart(2.0, "it was away")) == ["it was away", "ask 0"]
    assert blocks(channel.replayed(END, b"", 3.0)) == []
    assert channel.up_to_date and channel.next_number is None


def test_another_process_that_kept_nothing_gets_nothing_of_the_one_before() -> None:
    channel = asking_for_a_gap()
    assert blocks(channel.replayed(END, b"", 2.0)) == ["restarted", "ask 0"]
    assert blocks(channel.replayed(END, b"", 3.0)) == []


def test_a_replay_with_a_hole_that_stays_is_not_asked_for_again_and_again() -> None:
    channel = EventChannel(replay=True)
    channel.opened(0.0)
    answers, asked = [(0, batch(1, 10)), (2, batch(3, 12)), (END, b"")], 0
    for _ in range(20):
        for number, payload in answers:
            acts = blocks(channel.replayed(number, payload, 1.0))
            asked += sum(str(one).startswith("ask") for one in acts)
    assert asked <= 2
    assert blocks(channel.tick(7.0)) == ["ask 0"]


def test_a_replay_that_breaks_off_at_the_same_place_is_given_up() -> None:
    """A payload that is too large for us ends the connection: what comes behind it has to do without."""
    channel = EventChannel(replay=True, policy=ChannelPolicy(replay_s=5))
    channel.opened(0.0)
    channel.replayed(0, batch(1, 10), 0.0)
    channel.replayed(END, b"", 0.0)
    assert blocks(channel.live(2, batch(3, 12), 1.0)) == ["ask 0"]
    assert blocks(channel.replayed(0, batch(1, 10), 1.0)) == []
    assert blocks(channel.tick(7.0)) == ["gap", 12]
