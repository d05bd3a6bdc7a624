"""`FakeKvCache`: which blocks a fake replica holds, by vLLM's rules, without any KV."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from kvproxy.fake_replica.replica_hashes import ReplicaHashes
from kvproxy.fake_replica.told_events import ToldCleared, ToldEvent, ToldRemoved, ToldStored


@dataclass(slots=True)
class HeldSequence:
    """The blocks of a running request."""

    token_ids: list[int]
    salt: str | None
    cached_tokens: int
    """Tokens of the prompt that were there already; a multiple of the block."""
    session: str | None
    blocks: list[int] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    """Those of the full blocks whose tokens are computed."""
    promised: int = 0
    """Blocks that its answer will still need."""


class FakeKvCache:
    """Blocks in use, and free ones that keep their KV until they are taken for something else, oldest first.

    As in vLLM: a prompt's last token is always computed; two requests that compute the same block at once have it
    twice; blocks that end together are taken from the end of their prompt first. Unlike vLLM, a request is admitted
    only when its whole answer fits, so that none is ever thrown out.
    """

    def __init__(self, blocks: int, block_tokens: int, hashes: ReplicaHashes) -> None:
        """Make an empty cache.

        Example: ``FakeKvCache(512, 16, ReplicaHashes(ReplicaOptions()))``
        """
        self.block_tokens = block_tokens
        self.usable = blocks - 1
        self._hashes = hashes
        self._free: OrderedDict[int, None] = OrderedDict((number, None) for number in range(1, blocks))
        self._users = dict.fromkeys(self._free, 0)
        self._hash_of: dict[int, bytes] = {}
        self._having: dict[bytes, OrderedDict[int, None]] = {}
        self._promised = 0
        self._events: list[ToldEvent] = []

    @property
    def used_share(self) -> float:
        """The share of the blocks that running requests have."""
        return 1 - len(self._free) / self.usable

    def cached_blocks(self) -> list[int]:
        """Return the hashes of all held blocks, as events carry them."""
        return [self._hashes.told(one) for one in self._having]

    def chain(self, token_ids: Sequence[int], salt: str | None) -> list[bytes]:
        """Return the hash of each full block of ``token_ids``."""
        found: list[bytes] = []
        parent = self._hashes.root
        for start in range(0, len(token_ids) - self.block_tokens + 1, self.block_tokens):
            parent = self._hashes.after(
                parent, token_ids[start : start + self.block_tokens], None if start else salt
            )
            found.append(parent)
        return found

    def begin(
        self,
        prompt: Sequence[int],
        answer_tokens: int,
        *,
        salt: str | None = None,
        session: str | None = None,
        read: bool = True,
    ) -> HeldSequence | None:
        """Take the blocks of ``prompt``, those that are cached first. None: they do not fit now.

        ``answer_tokens``: tokens that ``append`` will bring. ``read=False`` computes all of it anew.

        Example: ``sequence = cache.begin(prompt, 12, salt="s")``
        """
        chain = self.chain(prompt, salt)
        hit = self._found(chain[: (len(prompt) - 1) // self.block_tokens]) if read else []
        needed = -(-len(prompt) // self.block_tokens) - len(hit)
        # The last token of an answer is never computed, so it needs no room.
        whole = -(-(len(prompt) + max(0, answer_tokens - 1)) // self.block_tokens)
        promised = whole - needed - len(hit)
        free = len(self._free) - sum(number in self._free for number in hit)
        if needed + promised + self._promised > free:
            return None
        self._promised += promised
        sequence = HeldSequence(list(prompt), salt, len(hit) * self.block_tokens, session, promised=promised)
        for number in hit:
            self._users[number] += 1
            self._free.pop(number, None)
        sequence.blocks = hit + [self._take() for _ in range(needed)]
        sequence.hashes = chain[: len(hit)]
        self._keep(sequence, chain)
        return sequence

    def append(self, sequence: HeldSequence, token: int) -> None:
        """Compute one more token of ``sequence`` (modified)."""
        sequence.token_ids.append(token)
        if len(sequence.token_ids) > len(sequence.blocks) * self.block_tokens:
            sequence.blocks.append(self._take())
            sequence.promised -= 1
            self._promised -= 1
        if len(sequence.token_ids) % self.block_tokens == 0:
            start = len(sequence.token_ids) - self.block_tokens
            parent = sequence.hashes[-1] if sequence.hashes else self._hashes.root
            salt = None if start else sequence.salt
            block = self._hashes.after(parent, sequence.token_ids[start:], salt)
            self._keep(sequence, [*sequence.hashes, block])

    def end(self, sequence: HeldSequence) -> None:
        """Free the blocks of ``sequence``, which keep their KV until they are taken."""
        self._promised -= sequence.promised
        for number in reversed(sequence.blocks):
            self._users[number] -= 1
            if self._users[number] == 0:
                self._free[number] = None
        sequence.blocks = []
        sequence.promised = 0

    def reset(self) -> bool:
        """Forget every block; False, and nothing done, while a request runs."""
        if len(self._free) < self.usable:
            return False
        self._hash_of.clear()
        self._having.clear()
        self._events.append(ToldCleared())
        return True

    def evict(self, most: int | None = None) -> int:
        """Drop the KV of ``most`` free blocks, or of all, oldest first. Return how many had any."""
        held = [number for number in self._free if number in self._hash_of]
        for number in held[:most]:
            self._drop(number)
        return len(held[:most])

    def take_events(self) -> list[ToldEvent]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def _found(self, chain: Sequence[bytes]) -> list[int]:
        found: list[int] = []
        for block in chain:
            if (numbers := self._having.get(block)) is None:
                break
            found.append(next(iter(numbers)))
        return found

    def _keep(self, sequence: HeldSequence, chain: list[bytes]) -> None:
        start, new = len(sequence.hashes), chain[len(sequence.hashes) :]
        if not new:
            return
        for number, block in zip(sequence.blocks[start:], new, strict=False):
            self._hash_of[number] = block
            self._having.setdefault(block, OrderedDict())[number] = None
        self._events.append(
            ToldStored(
                hashes=tuple(self._hashes.told(block) for block in new),
                parent=self._hashes.told(chain[start - 1]) if start else None,
                token_ids=tuple(
                    sequence.token_ids[start * self.block_tokens : len(chain) * self.block_tokens]
                ),
                block_tokens=self.block_tokens,
                salt=sequence.salt,
                first=start == 0,
                session=sequence.session,
            )
        )
        sequence.hashes = chain

    def _take(self) -> int:
        number, _ = self._free.popitem(last=False)
        self._drop(number)
        self._users[number] = 1
        return number

    def _drop(self, number: int) -> None:
        block = self._hash_of.pop(number, None)
        if block is None:
            return
        having = self._having[block]
        del having[number]
        if not having:
            del self._having[block]
        self._events.append(ToldRemoved((self._hashes.told(block),)))
