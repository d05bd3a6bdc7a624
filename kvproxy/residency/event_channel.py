"""`EventChannel`: one replica's stream of numbered payloads; what to apply, what to ask for again, when to clear."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from kvproxy.residency.channel_acts import Applied, ChannelAct, ChannelPolicy, Lost, ReplayAsked
from kvproxy.residency.event_decoder import EventDecoder, MalformedEvents

END = 2**64 - 1
"""The number of the message that ends a replay: -1 in 8 bytes."""
_UNANSWERED = 12
"""Multiple of the quiet time after which a sender that never answered a replay is asked again."""


@dataclass(slots=True)
class ChannelCounts:
    """Counts of one channel since it was opened."""

    batches: int = 0
    gaps: int = 0
    replays: int = 0
    losses: int = 0
    malformed: int = 0
    skipped: int = 0


class EventChannel:
    """The decisions about one stream; no socket and no clock in it. Not for several threads.

    The sender numbers its payloads from 0 and keeps the last of them. Payloads are applied in order and once. On a gap
    those that are missing are asked for, from the last one seen: if that comes back as it was, the sender is the same
    process; if not, it has started again. What can no longer be had clears the replica. A quiet sender is probed the
    same way, which also finds messages that were lost at the end, and tells a dead one from an idle one.
    """

    def __init__(self, *, replay: bool, policy: ChannelPolicy | None = None) -> None:
        """``replay``: the sender answers replays."""
        self._policy = policy or ChannelPolicy()
        self._replay = replay
        self._decoder = EventDecoder()
        self._expected: int | None = None
        self._last = (0, 0.0)
        """Digest and time of the last payload."""
        self._asked: tuple[int | None, int] | None = None
        """The number that was due, and the last payload's digest, when the replay under way was asked for."""
        self._got: int | None = None
        self._foreign = self._hole = self._for_gap = self._answered = self._useful = False
        self._partial = False
        """True after a gap that nothing filled: what is known is less than what the sender may tell from the start."""
        self._heard = self._waited_from = 0.0
        self._empty = 0
        """Answers without a payload where the last one was due."""
        self._held: deque[tuple[int, bytes]] = deque()
        self._held_bytes = 0
        self.counts = ChannelCounts()

    @property
    def next_number(self) -> int | None:
        """The number of the payload that is due next; None before the first."""
        return self._expected

    @property
    def up_to_date(self) -> bool:
        """False while payloads are missing, and before the first payload or answer."""
        known = self._expected is not None or self._answered
        return known and (self._asked is None or not self._held)

    def opened(self, now: float) -> list[ChannelAct]:
        """Begin: ask for all that the sender still has. ``now``: seconds of any steady clock."""
        self._heard = now
        return self._ask(now)

    def restart(self, now: float, reason: str) -> list[ChannelAct]:
        """Forget the stream and begin again: its fingerprint changed, or another channel of the replica lost its
        place. What was held is in the replay that is asked for, or was the process's before."""
        self._drop_held()
        return [*self._lose(reason), *self._ask(now, fresh=True)]

    def live(self, number: int, payload: bytes, now: float) -> list[ChannelAct]:
        """Take a published payload.

        Example: ``live(7, frames[2], time.monotonic())``
        """
        if self._asked is not None and number != self._expected:
            self._heard = now
            self._hold(number, payload)
            return []
        acts = self._in_turn(number, payload, now)
        if acts:  # What is passed over as old leaves the sender unheard, so that it is asked who it is.
            self._heard = now
        return acts

    def replayed(self, number: int, payload: bytes, now: float) -> list[ChannelAct]:
        """Take a message of a replay.

        Example: ``replayed(END, b"", time.monotonic())``
        """
        if self._asked is None:
            return []
        self._heard = self._waited_from = now
        self._answered = True
        if number == END:
            return self._ended(now)
        first, self._got, self._useful = self._got is None, number, True
        if self._foreign:
            return []
        if first and self._partial:
            return [*self._lose("whole replay"), *self._apply(number, payload, live=False)]
        if first and self._asked[0]:
            return self._first_answer(number, payload)
        if self._expected is not None and number > self._expected:
            self._hole = True
        if self._hole or (self._expected is not None and number < self._expected):
            return []
        return self._apply(number, payload, live=False)

    def tick(self, now: float) -> list[ChannelAct]:
        """Look at the time: about once a second."""
        if not self._replay:
            return []
        if self._asked is None:
            patience = self._policy.probe_s * (1 if self._answered else _UNANSWERED)
            return self._ask(now) if now - max(self._heard, self._waited_from) > patience else []
        if now - self._waited_from <= self._policy.replay_s:
            return []
        if self._got is not None and self._expected != self._asked[0]:
            return self._ask(now, fresh=True)
        return self._unanswered(now)

    def _unanswered(self, now: float) -> list[ChannelAct]:
        """Give a replay up that nothing came of, or that broke off where it did before."""
        if self._held or not self._answered:
            # The stream alone has to do: what was missed cannot be had, and clears.
            self._asked = None
            return self._release(now, gap_is_lost=True)
        silent = now - self._heard > self._policy.silent_s and self._expected is not None
        return [*(self._lose("silent") if silent else ()), *self._ask(now, fresh=True)]

    def _ask(self, now: float, *, fresh: bool = False, for_gap: bool = False) -> list[ChannelAct]:
        if not self._replay:
            return []
        self._for_gap = for_gap
        due = None if self._partial else self._expected
        self._asked = (due, self._last[0])
        self._got, self._foreign, self._hole, self._waited_from = None, False, False, now
        self.counts.replays += 1
        return [ReplayAsked(max(0, (due or 0) - 1), fresh)]

    def _first_answer(self, number: int, payload: bytes) -> list[ChannelAct]:
        """Compare the last payload with what the sender now has under its number."""
        due, digest = self._asked or (0, 0)
        last = (due or 0) - 1
        if number == last:
            if hash(payload) == digest:
                return []
            self._foreign = True
            return self._lose("restarted")
        if self._expected is not None and number > self._expected:
            acts = [*self._gap(), *self._apply(number, payload, live=False)]
            self._partial = True
            return acts
        return [] if number != self._expected else self._apply(number, payload, live=False)

    def _ended(self, now: float) -> list[ChannelAct]:
        due, _ = self._asked or (None, 0)
        if due is None:
            self._partial = False
        if self._foreign:
            return self._ask(now)
        if self._got is None and due and (self._useful or self._empty < 2):
            # A sender keeps its last payload, so this is another process; or one that never keeps any.
            self._empty += 1
            self._drop_held()
            return [*self._lose("restarted"), *self._ask(now)]
        if self._hole and self._expected == due:
            # Asked at once, it would have the same hole: the next probe asks.
            self._asked = None
            return [*self._gap(), *self._release(now, gap_is_lost=True)]
        if self._hole:
            return self._ask(now)
        in_vain = self._for_gap and self._expected == due
        self._asked = None
        return self._release(now, gap_is_lost=in_vain)

    def _release(self, now: float, *, gap_is_lost: bool = False) -> list[ChannelAct]:
        """Take what was held, until something is missing again."""
        acts: list[ChannelAct] = []
        while self._held and self._asked is None:
            number, payload = self._held.popleft()
            self._held_bytes -= len(payload)
            acts += self._in_turn(number, payload, now, gap_is_lost=gap_is_lost)
        return acts

    def _in_turn(
        self, number: int, payload: bytes, now: float, *, gap_is_lost: bool = False
    ) -> list[ChannelAct]:
        if self._expected is None:
            self._partial = self._replay and number > 0
            return self._apply(number, payload, live=True)
        if number == self._expected:
            return self._apply(number, payload, live=True)
        restarted = number < self._expected
        # One that was replayed meanwhile may come late; where nothing is replayed, a jump is a gap, whatever its time.
        late = restarted or (self._replay and self._answered)
        if late and not self._is_newer(payload, same_time=not restarted):
            return []
        self.counts.gaps += not restarted
        lost = self._lose("restarted") if restarted else []
        if self._replay and self._answered and not gap_is_lost:
            self._hold(number, payload, front=True)
            return [*lost, *self._ask(now, for_gap=not restarted)]
        acts = [*(lost or self._gap()), *self._apply(number, payload, live=True)]
        self._partial = self._replay
        return acts

    def _is_newer(self, payload: bytes, *, same_time: bool) -> bool:
        """Tell a payload of a sender that started again, or lost some, from one that was replayed and comes late."""
        try:
            at = self._decoder.decode(payload).at
        except MalformedEvents:
            return False
        return at > self._last[1] or (same_time and at == self._last[1])

    def _apply(self, number: int, payload: bytes, *, live: bool) -> list[ChannelAct]:
        self._expected = number + 1
        try:
            batch = self._decoder.decode(payload)
        except MalformedEvents:
            self.counts.malformed += 1
            self._last = (hash(payload), self._last[1])
            return [Lost("malformed")]
        self._last = (hash(payload), batch.at)
        self.counts.batches += 1
        self.counts.skipped += batch.skipped
        return [Applied(batch, live)]

    def _gap(self) -> list[ChannelAct]:
        return self._lose("gap")

    def _lose(self, reason: str) -> list[ChannelAct]:
        self._expected, self._partial = None, False
        self._last = (0, 0.0)
        self._decoder = EventDecoder()
        self.counts.losses += 1
        return [Lost(reason)]

    def _drop_held(self) -> None:
        self._held.clear()
        self._held_bytes = 0

    def _hold(self, number: int, payload: bytes, *, front: bool = False) -> None:
        if not front and (
            len(self._held) >= self._policy.most_held
            or self._held_bytes + len(payload) > self._policy.most_held_bytes
        ):
            return
        self._held_bytes += len(payload)
        (self._held.appendleft if front else self._held.append)((number, payload))
