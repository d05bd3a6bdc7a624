"""`HashAliases`: a replica's own block hashes mapped to those that are computed here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.kv_events import BlocksRemoved, BlocksStored, KvEvent


@dataclass(frozen=True, slots=True)
class AliasCounts:
    """The events that could not be mapped, and whether mapping was needed at all."""

    same: bool | None
    """True where the replica's hashes are ours; None before its first block of a chain came with its tokens."""
    other_block: int
    """The block size of the replica where it differs from ours; 0 where it does not."""
    unmapped: int
    """Blocks that were dropped since the block before them, or their tokens, are not known."""


class HashAliases:
    """The map of one replica's hashes. The first block of a chain shows whether the replica hashes as we do.

    Where it does not, by another algorithm, another seed or another engine, a block that comes with its tokens behind a
    known block gets our hash beside the replica's, so that residency does not depend on the algorithm. At most ``most``
    blocks are remembered, some 250 bytes each, the longest unmentioned forgotten first. Not for several threads.
    """

    def __init__(self, hashes: BlockHashes, most: int = 1 << 17) -> None:
        self._hashes = hashes
        self._most = most
        self._digests: dict[int, bytes] = {}
        self._same: bool | None = None
        self._other_block = 0
        self._unmapped = 0

    @property
    def counts(self) -> AliasCounts:
        """The findings so far."""
        return AliasCounts(self._same, self._other_block, self._unmapped)

    def translate(self, event: KvEvent) -> tuple[KvEvent, ...]:
        """Return the event with our hashes and without its tokens; none where it has none of ours.

        A block that is forgotten here counts as removed, since its removal could not be mapped later.
        """
        if isinstance(event, BlocksStored):
            return self._stored(event)
        if isinstance(event, BlocksRemoved):
            return (self._removed(event),)
        self.restart()
        return (event,)

    def restart(self) -> None:
        """Forget the map: the replica is empty, or is another process now."""
        self._digests.clear()
        self._same = None

    def _stored(self, event: BlocksStored) -> tuple[KvEvent, ...]:
        if not event.plain:
            return ()
        size = self._hashes.block_tokens
        if event.block_tokens not in (0, size):
            self._other_block = event.block_tokens
            return ()
        told = len(event.token_ids) == size * len(event.hashes) > 0
        if told and self._same is None and event.parent is None:
            self._same = self._hashes.chain(event.token_ids[:size], event.salt)[0] == event.hashes[0]
        if self._same is False:
            return self._mapped(event) if told else self._known(event)
        return (replace(event, token_ids=()),)

    def _mapped(self, event: BlocksStored) -> tuple[KvEvent, ...]:
        before = self._hashes.root if event.parent is None else self._digests.get(event.parent)
        if before is None:
            return self._known(event)
        digests = self._hashes.digests(before, event.token_ids, event.salt if event.parent is None else None)
        for block, digest in zip(event.hashes, digests, strict=True):
            self._digests.pop(block, None)
            self._digests[block] = digest
        ours = replace(event, hashes=tuple(map(_short, digests)), token_ids=())
        spare = len(self._digests) - self._most
        if spare <= 0:
            return (ours,)
        forgotten = [self._digests.pop(block) for block in list(islice(self._digests, spare))]
        return ours, BlocksRemoved(tuple(map(_short, forgotten)), "unknown")

    def _known(self, event: BlocksStored) -> tuple[KvEvent, ...]:
        """Return the event with those blocks that were mapped before: in another tier, say."""
        digests = [self._digests[block] for block in event.hashes if block in self._digests]
        self._unmapped += len(event.hashes) - len(digests)
        return (replace(event, hashes=tuple(map(_short, digests)), token_ids=()),) if digests else ()

    def _removed(self, event: BlocksRemoved) -> BlocksRemoved:
        if self._same is not False:
            return event
        # A block that was announced before mapping began is in the index under the replica's own hash.
        ours = [_short(self._digests[block]) if block in self._digests else block for block in event.hashes]
        return replace(event, hashes=tuple(ours))


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[24:], "big")
