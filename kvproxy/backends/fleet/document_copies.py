"""`DocumentCopies`: publishes prefixes on replicas, keeps as many copies as their readers need, and warms them again.

Nothing in vLLM pins a block. A copy is a prefill whose blocks are watched, and another prefill once they are gone and
the replica has little to do. All that is claimed is best effort.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing

from kvproxy.backends.fleet.completion_body import encoded_body, prefill_fields
from kvproxy.backends.fleet.completion_reader import CompletionReader
from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.fleet_residency import FleetResidency, ReportedCache
from kvproxy.backends.fleet.lmcache_pins import LmcachePins
from kvproxy.backends.fleet.published_prefixes import KeptPrefix, MadeCopies, MadeCopy, PublishedPrefixes
from kvproxy.backends.fleet.replica_answer import ReplicaAnswer
from kvproxy.backends.fleet.replica_errors import client_error
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.errors import InvalidRequest
from kvproxy.routing.copies_wanted import CopyPolicy, copies_wanted, copy_targets
from kvproxy.routing.prefill_speed import PrefillSample
from kvproxy.routing.read_rates import ReadRates
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)

CONFIRM_S = 2.0
"""Seconds in which events tell of a prefill that has ended; else a second read asks."""
LOOK_S = 1.0
"""Seconds between two looks at prefixes that are read."""
_LOOKS = 64
"""Prefixes of one look."""
_LOOK_TOKENS = 1 << 18
"""Tokens of one look's prefixes, one prefix aside: hashing so many takes a tenth of a second, and of a library that
is larger than the memory of hashes each look hashes all."""
_LARGE_PREFIX = 8192
"""Tokens from which a prefix is hashed on a thread."""
_IDLE_SHARE = 0.5
"""The share of a replica's places above which nothing is warmed there."""


class DocumentCopies:
    """The copies of a fleet's published prefixes. Event loop only."""

    def __init__(
        self,
        replicas: FleetReplicas,
        residency: FleetResidency,
        ring_key: Callable[[str], str],
        policy: CopyPolicy,
        *,
        timeout_s: float,
        lmcache: LmcachePins | None = None,
    ) -> None:
        """``ring_key``: the key that the ring places a prefix's key by.

        Example: ``DocumentCopies(replicas, residency, router.ring_key, CopyPolicy(), timeout_s=600)``
        """
        self._replicas, self._residency, self._ring_key = replicas, residency, ring_key
        self._policy, self._timeout_s = policy, timeout_s
        self.lmcache = lmcache
        self.prefixes = PublishedPrefixes()
        self.rates = ReadRates()
        self.warmed = 0
        self._busy, self._watched = set[str](), set[str]()

    def read(self, key: str) -> None:
        """Count a read of a published prefix."""
        if self.prefixes.find(key) is not None:
            self.rates.read(key, time.monotonic())
            self.prefixes.want(key)

    async def publish(self, prefix: KeptPrefix) -> MadeCopies:
        """Prefill a prefix on as many replicas as it should have, and keep it. Raises NotReady, Overloaded,
        UpstreamError, InvalidRequest.

        Example: ``made = await copies.publish(KeptPrefix(token_ids, salt, prefix_key(token_ids, salt)))``
        """
        await asyncio.to_thread(self._residency.warm_memo, prefix.token_ids, prefix.salt)
        self._watch(prefix)
        new = self.prefixes.find(prefix.key) is None
        self.prefixes.put(prefix)
        try:
            return await self._published(prefix)
        except BaseException:
            if new and not self.prefixes.pinned(prefix.key):
                self._drop(prefix)  # of a publication that fails nothing is left
            raise

    async def _published(self, prefix: KeptPrefix) -> MadeCopies:
        targets = self.targets(prefix)
        if targets:
            return await self._made(prefix, targets)
        holders = tuple(self.holders(prefix))
        if not holders:
            raise client_error([])
        return MadeCopies(holders, 0, 0.0)

    async def pin(self, prefix: KeptPrefix) -> None:
        """Count a pin of a kept prefix. LMCache's coordinator counts pins too, for all proxies: it gets one from this
        process, whatever this process has.

        Example: ``await copies.pin(prefix)``, and ``await copies.unpin(prefix)`` once
        """
        first = not self.prefixes.pinned(prefix.key)
        self.prefixes.pin(prefix.key)
        if first and self.lmcache is not None:
            try:
                await self.lmcache.pin(prefix.token_ids, prefix.salt)
            except BaseException:
                await run_to_completion(self.unpin(prefix))
                raise

    async def unpin(self, prefix: KeptPrefix) -> None:
        """Take a pin back; nothing for a prefix that was forgotten since."""
        if self.prefixes.pinned(prefix.key):
            self.prefixes.unpin(prefix.key)
            await self._unpinned(prefix)

    async def forget(self, prefix: KeptPrefix) -> None:
        """Keep a prefix warm no longer, whatever pins it has."""
        pinned = self.prefixes.pinned(prefix.key)
        self._drop(prefix)
        if pinned:
            await self._unpinned(prefix)

    def _drop(self, prefix: KeptPrefix) -> None:
        self.prefixes.drop(prefix.key)
        self.rates.forget(prefix.key)
        self._watched.discard(prefix.key)

    def _watch(self, prefix: KeptPrefix) -> None:
        """Remember evictions of a prefix; one of an earlier process is hashed when it is read, not at the start."""
        if prefix.key not in self._watched:
            self._watched.add(prefix.key)
            self._residency.watch(prefix.token_ids, prefix.salt)

    async def _unpinned(self, prefix: KeptPrefix) -> None:
        if self.lmcache is not None and not self.prefixes.pinned(prefix.key):
            await self.lmcache.unpin(prefix.token_ids, prefix.salt)

    async def _made(self, prefix: KeptPrefix, targets: tuple[str, ...]) -> MadeCopies:
        done: list[str] = []
        failures: list[ReplicaFailed] = []
        unconfirmed: list[str] = []
        computed, prefill_s = 0, 0.0
        for name in targets:
            try:
                copy = await self.prefill(prefix, name)
                if not await self._confirm(prefix, name):
                    unconfirmed.append(name)
            except ReplicaFailed as e:
                self._replicas.failed(e)
                failures.append(e)
                continue
            if not done:
                computed, prefill_s = len(prefix.token_ids) - copy.cached, copy.prefill_s
            done.append(name)
        if not done:
            raise client_error(failures)
        if unconfirmed:
            logger.warning(
                "a prefix of %d tokens was prefilled on %s, which did not confirm that it is cached there",
                len(prefix.token_ids),
                ", ".join(unconfirmed),
            )
        return MadeCopies(tuple(done), computed, prefill_s, tuple(unconfirmed))

    def holders(self, prefix: KeptPrefix) -> list[str]:
        """Return the usable replicas that hold all whole blocks of a prefix."""
        held = self._residency.held((*prefix.token_ids, 0), prefix.salt, self._replicas.usable())
        return [name for name, tokens in held.items() if tokens >= self._whole(prefix, name)]

    def targets(self, prefix: KeptPrefix) -> tuple[str, ...]:
        """Return the replicas that a prefix should be prefilled on now."""
        holders = self.holders(prefix)
        rate = self.rates.per_minute(prefix.key, time.monotonic())
        wanted = copies_wanted(rate, self._policy, len(holders))
        return copy_targets(self._ring_key(prefix.key), holders, wanted, self._replicas.loads)

    async def prefill(self, prefix: KeptPrefix, name: str) -> MadeCopy:
        """Prefill a prefix on one replica; return what that was. Raises ReplicaFailed, InvalidRequest.

        Example: ``await copies.prefill(prefix, "10.0.0.7:8000")``
        """
        replica = self._replicas.find(name)
        if replica is None or replica.facts is None:
            raise ReplicaFailed(name, "down", "it has left the fleet")
        ids = prefix.token_ids
        fields = prefill_fields(model=replica.facts.served_as, salt=prefix.salt)
        body = await off_loop_if_large(len(ids), lambda: encoded_body(ids, fields))
        queue_s = self._replicas.queue_s(name)
        answer = await self._asked(replica, body, prefix)
        cached = answer.reader.cached_tokens
        self._replicas.succeeded(name)
        self._replicas.identified(replica, answer.reader.fingerprint)
        if cached is not None:
            self._replicas.prefilled(name, PrefillSample(len(ids) - cached, answer.first_token_s, queue_s))
        # Where events are to come, they tell that the blocks are there: what is published is confirmed, not assumed.
        assumed = not self._residency.events_due(name)
        report = ReportedCache(name, 0, cached, assumed)
        await self._residency.learn_aside(ids, prefix.salt, report, large=_LARGE_PREFIX)
        return MadeCopy(cached or 0, max(0.0, answer.first_token_s - queue_s))

    async def _asked(self, replica: FleetReplica, body: bytes, prefix: KeptPrefix) -> ReplicaAnswer:
        tokens, key = len(prefix.token_ids), f"{prefix.key} {prefix.salt}"
        whole = self._whole(prefix, replica.name)
        self._replicas.sent(replica.name, tokens)
        self._replicas.pending.begin(key, replica.name, whole)
        try:
            async with AsyncExitStack() as stack:
                answer = ReplicaAnswer(replica, CompletionReader(), stack)
                await answer.begin(body, {"x-session-id": prefix.key}, self._timeout_s)
                async with aclosing(answer.deltas()) as deltas:
                    async for _ in deltas:
                        pass
        finally:
            self._replicas.pending.end(key, replica.name, whole)
            self._replicas.loads.withdrawn(replica.name, tokens)
        return answer

    async def _confirm(self, prefix: KeptPrefix, name: str) -> bool:
        """Return whether a replica's events, or a second read, tell that the blocks are there."""
        if self._residency.events_due(name):
            if await self._residency.confirmed(name, prefix.token_ids, prefix.salt, CONFIRM_S):
                return True
        block = self._residency.block_of(name)
        # The last position is computed anew by every read, and its block with it.
        there = max(0, len(prefix.token_ids) - 1) // block * block
        return there == 0 or (await self.prefill(prefix, name)).cached >= there

    def _whole(self, prefix: KeptPrefix, name: str) -> int:
        block = self._residency.block_of(name)
        return len(prefix.token_ids) // block * block

    async def keep_warm(self) -> None:
        """Look at the prefixes that are read or pinned, and prefill those that lack copies where a replica has little
        to do. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception:
                logger.exception("prefixes were not looked at; the next look is in %g s", LOOK_S)

    async def look(self) -> None:
        """Look once at some of the prefixes; prefill at most one copy of each."""
        now, tokens = time.monotonic(), 0
        for prefix in self.prefixes.next_wanted(_LOOKS):
            if not self.prefixes.pinned(prefix.key) and self.rates.per_minute(prefix.key, now) * 5 < 0.5:
                self.prefixes.unwant(prefix.key)  # less than half a read in five minutes
                continue
            if len(prefix.token_ids) > _LARGE_PREFIX:
                await asyncio.to_thread(self._residency.warm_memo, prefix.token_ids, prefix.salt)
            self._watch(prefix)
            target = next((name for name in self.targets(prefix) if self.idle(name)), None)
            if target is not None and prefix.key not in self._busy and self.prefixes.find(prefix.key):
                await self._warm(prefix, target)
            tokens += len(prefix.token_ids)
            if tokens >= _LOOK_TOKENS:
                return  # the others come first in the next look

    async def _warm(self, prefix: KeptPrefix, name: str) -> None:
        self._busy.add(prefix.key)
        try:
            if self.lmcache is not None:
                await self.lmcache.prefetch(prefix.token_ids, prefix.salt)
            await self.prefill(prefix, name)
            self.warmed += 1
        except ReplicaFailed as e:
            self._replicas.failed(e)
        except InvalidRequest as e:
            logger.warning("a prefix of %d tokens is not kept warm: %s", len(prefix.token_ids), e.message)
            await self.forget(prefix)
        finally:
            self._busy.discard(prefix.key)

    def idle(self, name: str) -> bool:
        """Whether a replica has so little to do that a prefill delays nobody for long."""
        if name not in self._replicas.loads:
            return False
        load = self._replicas.loads.load(name)
        return load.up and load.queued_tokens == 0 and load.running <= load.capacity * _IDLE_SHARE
