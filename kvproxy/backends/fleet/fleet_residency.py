"""`FleetResidency`: what each replica of a fleet holds of a prompt, by events and by what answers told.

Event loop only, but for :meth:`FleetResidency.warm_memo`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from kvproxy.backends.fleet.block_memo import BlockMemo
from kvproxy.core.replica_choice import ReplicaResidency, ReplicaTier
from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.kv_events import ReplicaChange
from kvproxy.residency.residency_index import ResidencyIndex

DEFAULT_BLOCK = 16
"""vLLM's block on GPUs, until a replica tells its own."""
_MISLED = 3
"""Promises in a row that a replica did not keep, after which nothing is believed of it that it has not counted."""


@dataclass(frozen=True, slots=True)
class ReportedCache:
    """One answer's count of cached positions, beside what was expected."""

    replica: str
    expected: int
    cached: int | None
    """As the replica counts; None where it does not."""
    retained: bool = True
    """False where the prompt's salt is used once."""


class FleetResidency:
    """Beliefs about the replicas' caches. `cached_tokens` of an answer overrules events at once."""

    def __init__(self, seed: str | None = None, index: ResidencyIndex | None = None) -> None:
        """``seed``: PYTHONHASHSEED of the replicas, where they have one."""
        self.index = index or ResidencyIndex()
        self.overruled = 0
        """Times that a replica held less than was believed."""
        self.present: Callable[[str], bool] = lambda _: True
        """Whether a replica is in the fleet. Answers and events of one that has left still come; nothing of them is
        kept, since nobody would drop it."""
        self._seed = seed
        self._memos: dict[int, BlockMemo] = {}
        self._blocks: dict[str, int] = {}
        self._heard: set[str] = set()
        self._listened: set[str] = set()
        self._misled: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._grouped: tuple[Collection[str], Mapping[int, frozenset[str]]] | None = None

    def set_block(self, replica: str, tokens: int | None) -> None:
        """Set a replica's block size, as it tells it."""
        if tokens and self.present(replica):
            self._blocks[replica] = tokens
            self._grouped = None

    def block_of(self, replica: str) -> int:
        """Return the positions of one block of a replica."""
        return self._blocks.get(replica, DEFAULT_BLOCK)

    @property
    def block_tokens(self) -> int:
        """The largest block of any replica: less than that is never cached anywhere for sure."""
        return max(self._blocks.values(), default=DEFAULT_BLOCK)

    def held(self, token_ids: Sequence[int], salt: str, replicas: Collection[str]) -> dict[str, int]:
        """Return by replica the leading positions that it holds, whole blocks, of those that hold any. The last
        position is never among them: an engine computes it for the first token.

        Example: ``residency.held(prompt.token_ids, salt, replicas.usable())``
        """
        found: dict[str, int] = {}
        for size, names in self._by_block(replicas).items():
            hashes = self.hashes(token_ids[: max(0, len(token_ids) - 1)], salt, size)
            present = self.index.longest(hashes)
            found |= {name: blocks * size for name, blocks in present.items() if name in names}
        return found

    def residencies(
        self, token_ids: Sequence[int], salt: str, replicas: Collection[str]
    ) -> tuple[ReplicaResidency, ...]:
        """Return what each of some replicas holds of a published prefix, with its tier and since when.

        Example: ``residency.residencies(kept.token_ids, salt, replicas.usable())``
        """
        found: list[ReplicaResidency] = []
        for size, names in self._by_block(replicas).items():
            held = self.index.residencies(self.hashes(token_ids, salt, size), size)
            found += [one for one in held if one.replica in names]
        return tuple(found)

    def hashes(
        self, token_ids: Sequence[int], salt: str, block: int, *, whole: bool = False
    ) -> tuple[int, ...]:
        """Return the hashes of a prompt's full blocks; unless ``whole``, no further than some replica has them.

        Example: ``residency.hashes(kept.token_ids, salt, 16, whole=True)``
        """
        memo = self._memo(block)
        if whole:
            return memo.chain(token_ids, salt)
        return memo.chain(token_ids, salt, lambda hashes: bool(self.index.longest(hashes[-1:])))

    def warm_memo(self, token_ids: Sequence[int], salt: str) -> None:
        """Hash a published prefix before it is asked for. Runs on a thread."""
        for block in set(self._blocks.values()) or {DEFAULT_BLOCK}:
            self._memo(block).chain(token_ids, salt)

    def watch(self, token_ids: Sequence[int], salt: str) -> None:
        """Remember when replicas give up blocks of a published prefix."""
        for block in set(self._blocks.values()) or {DEFAULT_BLOCK}:
            self.index.watch(self.hashes(token_ids, salt, block, whole=True))

    def evicted_at(self, replica: str, token_ids: Sequence[int], salt: str, held: int) -> float | None:
        """Return when a replica gave up the block behind the ``held`` positions; None where it never had it.

        Example: ``residency.evicted_at("a", prompt.token_ids, salt, 896)``
        """
        block = self.block_of(replica)
        hashes = self._memo(block).chain(token_ids[: held + block], salt)
        return self.index.evicted_at(replica, hashes[-1]) if len(hashes) > held // block else None

    def learn(self, token_ids: Sequence[int], salt: str, report: ReportedCache) -> None:
        """Take in how much of a prompt a replica took from its cache. It holds all of the prompt's blocks now.

        A replica that breaks its promises again and again, since it caches nothing or shows its engines in turn, is
        believed no more than it counts.

        Example: ``residency.learn(prompt.token_ids, salt, ReportedCache("a", expected=896, cached=0))``
        """
        name, cached = report.replica, report.cached
        if not self.present(name):
            return
        if cached is not None and cached % self.block_of(name):
            self.set_block(name, math.gcd(cached, self.block_of(name)) or 1)
        block = self.block_of(name)
        hashes = self.hashes(token_ids, salt, block, whole=True)
        if cached is not None:
            if cached < report.expected:
                self.overruled += 1
                self._misled[name] += 1
                self.index.forget(name, hashes[cached // block :])
            elif cached:
                del self._misled[name]
                self.index.confirm(name, hashes[: cached // block])
        if report.retained and self._misled[name] < _MISLED:
            self.index.confirm(name, hashes)

    async def learn_aside(
        self, token_ids: Sequence[int], salt: str, report: ReportedCache, *, large: int
    ) -> None:
        """Do as :meth:`learn`, hashing a prompt of more than ``large`` tokens on a thread first.

        Example: ``await residency.learn_aside(token_ids, salt, report, large=8192)``
        """
        if len(token_ids) > large:
            await asyncio.to_thread(self.warm_memo, token_ids, salt)
        self.learn(token_ids, salt, report)

    def take(self, change: ReplicaChange) -> None:
        """Take in what a replica's events tell; their hashes are those that are computed here."""
        if not self.present(change.replica):
            return
        self.index.take(change)
        if change.events:
            self._heard.add(change.replica)
        self._changed.set()

    def lost(self, replica: str) -> None:
        """Forget all that a replica held."""
        self.index.clear(replica)
        self._heard.discard(replica)
        self._misled.pop(replica, None)

    def drop(self, replica: str) -> None:
        """Forget a replica that has left."""
        self.lost(replica)
        self.index.drop(replica)
        self._blocks.pop(replica, None)
        self._grouped = None
        self._listened.discard(replica)

    def held_tokens(self) -> dict[str, dict[ReplicaTier, int]]:
        """Return by replica and tier the tokens of all blocks that it is known to hold."""
        return {
            name: {tier: blocks * self.block_of(name) for tier, blocks in held.items()}
            for name, held in self.index.held_blocks().items()
        }

    @property
    def blocks(self) -> int:
        """The different blocks that any replica is known to hold."""
        return self.index.size.blocks

    async def confirmed(self, replica: str, token_ids: Sequence[int], salt: str, within_s: float) -> bool:
        """Wait until events tell that a replica holds all whole blocks of a prefix; False where they do not in time.

        Example: ``await residency.confirmed("a", token_ids, salt, 2.0)``
        """
        block = self.block_of(replica)
        hashes = self.hashes(token_ids, salt, block, whole=True)
        try:
            async with asyncio.timeout(within_s):
                while self.index.longest(hashes).get(replica, 0) < len(hashes):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def listen(self, replica: str, *, listening: bool) -> None:
        """Set whether events of a replica are to come.

        Example: ``residency.listen("a", listening=bool(sources))``
        """
        (self._listened.add if listening else self._listened.discard)(replica)

    def events_due(self, replica: str) -> bool:
        """Whether events of a replica are to come."""
        return replica in self._listened

    def events_known(self, replica: str) -> bool:
        """Whether events of a replica have come since its cache was last lost."""
        return replica in self._heard

    def _memo(self, block: int) -> BlockMemo:
        memo = self._memos.get(block)
        if memo is None:
            memo = self._memos[block] = BlockMemo(BlockHashes(block, self._seed))
        return memo

    def _by_block(self, replicas: Collection[str]) -> Mapping[int, frozenset[str]]:
        """Return some replicas by their block size. Remembered for the last collection, which must not be changed: no
        prompt walks through a thousand replicas for it."""
        if self._grouped is not None and self._grouped[0] is replicas:
            return self._grouped[1]
        sizes = {self.block_of(name) for name in replicas}
        found = {size: frozenset(n for n in replicas if self.block_of(n) == size) for size in sizes}
        self._grouped = (replicas, found)
        return found
