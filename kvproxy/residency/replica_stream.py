"""`ReplicaStream`: the channels of one replica, its hashes mapped to ours, and what is due for the index."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.event_channel import EventChannel
from kvproxy.residency.feed_source import FeedSource
from kvproxy.residency.hash_aliases import HashAliases
from kvproxy.residency.kv_events import AllCleared, BlocksStored, EventBatch, KvEvent, ReplicaChange

_MOST_BLOCKS = 2_048
"""Blocks of one change: a millisecond of the event loop."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """The state of one replica's feed, for metrics and listings."""

    replica: str
    up_to_date: bool = False
    """False where payloads are missing or nothing came yet."""
    lag_s: float | None = None
    """Seconds from the engine's event to the index, of the last live one; clocks of two machines."""
    last_at: float | None = None
    """Unix seconds of the last event, by the replica's clock."""
    batches: int = 0
    events: int = 0
    gaps: int = 0
    replays: int = 0
    losses: int = 0
    """Times that the replica's blocks became unknown."""
    malformed: int = 0
    skipped: int = 0
    """Events of unknown types, or of kinds of attention that do not count."""
    block_tokens: int | None = None
    """The replica's block size, as its events tell; None before the first."""
    same_hashes: bool | None = None
    """False where its hashes are mapped by the tokens that its events carry; None before that is known."""
    unmapped: int = 0
    """Blocks that could not be mapped."""
    last_loss: str | None = None


@dataclass(slots=True)
class ReplicaStream:
    """One replica in the feed's thread."""

    replica: str
    seed: str | None
    channels: dict[int, EventChannel] = field(default_factory=dict)
    """By data-parallel rank."""
    sources: dict[int, FeedSource] = field(default_factory=dict)
    due: deque[ReplicaChange] = field(default_factory=deque)
    events: int = 0
    last_at: float | None = None
    last_loss: str | None = None
    told: bool = False
    """Whether it has told anything since its last loss."""
    _aliases: HashAliases | None = None
    _block_tokens: int | None = None

    def apply(self, batch: EventBatch, *, live: bool) -> None:
        """Put a batch's events in line for the index."""
        ours: list[KvEvent] = []
        for event in batch.events:
            ours += self._translated(event)
        self.events += len(batch.events)
        self.last_at = batch.at
        self.told = self.told or bool(ours)
        for piece in _pieces(ours):
            self.due.append(ReplicaChange(self.replica, piece, batch.at, live))

    def lose(self, reason: str) -> None:
        """Put in line that all blocks have become unknown; what waited is void."""
        self.due.clear()
        self.due.append(ReplicaChange(self.replica, live=False, lost=reason))
        self.last_loss = reason
        self.told = False
        if self._aliases is not None:
            self._aliases.restart()

    def status(self, lag_s: float | None = None) -> FeedStatus:
        """Return the state."""
        counts = [channel.counts for channel in self.channels.values()]
        aliases = self._aliases.counts if self._aliases is not None else None
        return FeedStatus(
            self.replica,
            bool(self.channels) and all(channel.up_to_date for channel in self.channels.values()),
            lag_s,
            self.last_at,
            sum(one.batches for one in counts),
            self.events,
            sum(one.gaps for one in counts),
            sum(one.replays for one in counts),
            sum(one.losses for one in counts),
            sum(one.malformed for one in counts),
            sum(one.skipped for one in counts),
            self._block_tokens,
            aliases.same if aliases is not None else None,
            aliases.unmapped if aliases is not None else 0,
            self.last_loss,
        )

    def _translated(self, event: KvEvent) -> tuple[KvEvent, ...]:
        if (
            isinstance(event, BlocksStored)
            and event.block_tokens
            and event.block_tokens != self._block_tokens
        ):
            # A replica that was started anew may have another block size; old hashes then match nothing.
            if self._block_tokens is None or event.parent is None:
                self._block_tokens = event.block_tokens
                self._aliases = HashAliases(BlockHashes(event.block_tokens, self.seed))
        return (event,) if self._aliases is None else self._aliases.translate(event)


def _pieces(events: list[KvEvent]) -> list[tuple[KvEvent, ...]]:
    """Cut a batch's events, and an event that is too long, so that no piece has more than `_MOST_BLOCKS` blocks.

    An event without blocks counts as one: it takes the event loop's time as well.
    """
    pieces: list[tuple[KvEvent, ...]] = []
    piece: list[KvEvent] = []
    blocks = 0
    for event in (part for whole in events for part in _parts(whole)):
        count = 1 if isinstance(event, AllCleared) else max(1, len(event.hashes))
        if piece and blocks + count > _MOST_BLOCKS:
            pieces.append(tuple(piece))
            piece, blocks = [], 0
        piece.append(event)
        blocks += count
    return [*pieces, tuple(piece)] if piece else pieces


def _parts(event: KvEvent) -> Iterator[KvEvent]:
    """Yield a long event as several that say the same."""
    if isinstance(event, AllCleared) or len(event.hashes) <= _MOST_BLOCKS:
        yield event
        return
    for start in range(0, len(event.hashes), _MOST_BLOCKS):
        part = replace(event, hashes=event.hashes[start : start + _MOST_BLOCKS])
        if isinstance(part, BlocksStored):
            # Tokens are of no use to the index; a salt belongs to a chain's first block.
            parent = event.hashes[start - 1] if start else part.parent
            part = replace(part, token_ids=(), parent=parent, salt=None if start else part.salt)
        yield part
