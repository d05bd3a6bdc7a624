"""`FleetBackend`: a fleet of replicas behind the contract of the local engine."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import aclosing, contextmanager
from functools import partial

from kvproxy.backends.base import EngineInfo, Generation, Kept, NoPages, PageLookup, PagesFound, Recheck
from kvproxy.backends.fleet.affinity_key import affinity_key, prefix_key
from kvproxy.backends.fleet.fleet_figures import FleetFigures, ReplicaFigures
from kvproxy.backends.fleet.fleet_parts import FleetParts
from kvproxy.backends.fleet.published_prefixes import KeptPrefix
from kvproxy.core import Caller, KeptCost, Prompt, Residency
from kvproxy.core.callers import PUBLIC, owner_of
from kvproxy.core.fleet_comparison import FleetComparison
from kvproxy.core.replica_choice import ReplicaResidency, ReplicaTier
from kvproxy.engine.loop.fairness.places import Claim, Places
from kvproxy.errors import ContextTooLong, InvalidRequest
from kvproxy.events import Event, Finished

_PINS = 2**20
"""Pins are wishes, so there is room for any number of them."""


class FleetBackend:
    """Implements ``LocalBackend``. Belongs to the event loop that it was opened on; :func:`open_fleet` makes one."""

    def __init__(self, parts: FleetParts) -> None:
        """Take the parts of an open fleet."""
        self._parts = parts
        self._settings = parts.settings
        self._replicas, self._residency = parts.replicas, parts.residency
        self._router, self._salts, self._copies = parts.router, parts.salts, parts.copies
        self._places = Places(parts.settings.most_at_once)

    @property
    def fingerprint(self) -> str:
        """Names the model, tokenizer and template of its kept prefixes; the replicas' own engines have others."""
        return self._parts.fingerprint

    @property
    def info(self) -> EngineInfo:
        context = self._parts.context()
        block = self._residency.block_tokens
        return EngineInfo(
            self._settings.name,
            context,
            block,
            context,
            exact=False,
            places=self._settings.most_at_once,
            fleet=True,
            fingerprint=self.fingerprint,
        )

    def ready(self) -> str | None:
        if self._replicas.usable() or self._replicas.last_resorts():
            return None
        refused = [r.mismatch for r in self._replicas if r.mismatch is not None]
        if refused:
            return "its replicas serve another model, or in another way; the log says what"
        return "none of its replicas is up"

    @contextmanager
    def hold(self, prompt: Prompt, caller: Caller) -> Iterator[PageLookup]:
        plan = self._router.plan(prompt, caller)
        if plan.choice.expected_tokens:
            yield PagesFound(plan.choice.expected_tokens, 0, plan.choice)
        else:
            yield NoPages(plan.evicted, plan.choice)

    def claim(self, caller: Caller, count: int, *, again: bool = False) -> Claim:
        if count > self._settings.most_at_once:
            raise InvalidRequest(
                f"Invalid 'n': this request needs {count} places at once, and the fleet has "
                f"{self._settings.most_at_once} (most_at_once). Ask for fewer answers at a time.",
                param="n",
            )
        return self._places.claim(caller.scope, count, again=again)

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        self._read(generation)
        with self.claim(generation.caller, 1) as own:
            claim = generation.claim or own
            claim.enter()
            ended = False
            try:
                async with aclosing(self._parts.answers.events(generation)) as events:
                    async for event in events:
                        ended = ended or isinstance(event, Finished)
                        yield event
            finally:
                claim.leave(failed=not ended)

    def _read(self, generation: Generation) -> None:
        """Count a read of a published prefix, whose readers decide how many copies it has."""
        if generation.prompt.known is not None and generation.retain and not generation.fresh:
            salt = self._salts.of_prompt(generation.prompt, generation.caller)
            self._copies.read(affinity_key(generation.prompt, salt))

    async def keep(
        self,
        token_ids: tuple[int, ...],
        scope: str,
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
        reuse: tuple[str, ...] = (),
    ) -> Kept:
        context = self.info.max_context
        if len(token_ids) >= context:
            raise ContextTooLong(limit=context, prompt_tokens=len(token_ids), completion_tokens=1)
        made = await self._copies.publish(self._prefix(token_ids, scope, owner))
        if progress is not None:
            progress(len(token_ids), len(token_ids))
        return Kept(self.fingerprint, token_ids, (), 0, made.prefill_s, made.computed)

    def _prefix(self, token_ids: tuple[int, ...], scope: str, owner: str | None = None) -> KeptPrefix:
        salt = self._salt(scope, owner)
        return KeptPrefix(token_ids, salt, prefix_key(token_ids, salt))

    def _salt(self, scope: str, owner: str | None) -> str:
        """Return the salt that a document is kept under: that of all its readers, where they have one. Under strict
        isolation each tenant reads under its own, and what is kept is the publisher's: its tenant alone finds it."""
        return self._salts.of_scope(scope, owner or owner_of(scope))

    async def known(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        if kept.fingerprint != self.fingerprint:
            return 0
        # A start asks this of the whole library; a long prefix's key takes a millisecond.
        self._copies.prefixes.put(await asyncio.to_thread(self._prefix, kept.token_ids, scope, owner))
        return len(kept.token_ids)

    def resident(self, kept: Kept, caller: Caller) -> int:
        return max((one.tokens for one in self.replicas_of(kept, caller)), default=0)

    def replicas_of(self, kept: Kept, caller: Caller) -> tuple[ReplicaResidency, ...]:
        """Return the replicas that hold a beginning of a kept prefix as ``caller`` would read it, longest first."""
        salts = {self._salts.of_scope(scope, caller.scope) for scope in (PUBLIC, *caller.granted)}
        salts.add(self._salts.of_tenant(caller.scope))
        found: dict[str, ReplicaResidency] = {}
        for salt in salts:
            for one in self._residency.residencies(kept.token_ids, salt, self._replicas.usable()):
                if one.replica not in found or found[one.replica].tokens < one.tokens:
                    found[one.replica] = one
        return tuple(sorted(found.values(), key=lambda one: (-one.tokens, one.replica)))

    def residency(self, kept: Kept, caller: Caller) -> Residency:
        first = next(iter(self.replicas_of(kept, caller)), None)
        if first is None:
            return Residency()
        if first.tier in ("device", "unknown"):
            return Residency(memory=first.tokens)
        return Residency(disk=first.tokens)

    def in_memory(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        salt = self._salt(scope, owner)
        held = self._residency.held((*kept.token_ids, 0), salt, self._replicas.usable())
        return max(held.values(), default=0)

    def cost_of(self, kept: Kept, scope: str) -> KeptCost:
        seconds = len(kept.token_ids) / self._replicas.speeds.fleet_speed()
        return KeptCost(load_s=seconds, compute_s=seconds)  # a replica without the blocks computes them

    @property
    def most_pinned(self) -> int:
        return _PINS

    def pin_room(self) -> int:
        return _PINS

    async def pin(self, kept: Kept, scope: str, owner: str | None = None) -> Callable[[], Awaitable[None]]:
        """Keep a prefix warm until the returned function is called: best effort, whatever the replicas evict."""
        prefix = self._prefix(kept.token_ids, scope, owner)
        await self._copies.publish(prefix)
        await self._copies.pin(prefix)
        return partial(self._copies.unpin, prefix)

    async def forget(
        self, kept: Kept, scope: str, still_kept: frozenset[bytes], owner: str | None = None
    ) -> None:
        """Keep a prefix warm no longer. Replicas cannot be told to drop blocks: those age out, under a salt that only
        this host's prompts have."""
        await self._copies.forget(self._prefix(kept.token_ids, scope, owner))

    async def compare(
        self,
        prompt: Prompt,
        caller: Caller,
        new_tokens: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> FleetComparison:
        """Compare a hit on a prompt with a forced cold read of it, at one replica. Raises HitLost where nothing was
        cached, InvalidRequest for an engine that names no tokens in its logprobs, and the errors of ``generate``.

        Example: ``(await fleet.compare(prompt, caller, 24)).agreement``
        """
        if self._settings.kind == "sglang":
            raise InvalidRequest(
                f"Answers of `{self._settings.name}` cannot be compared: SGLang's completions do not name their tokens."
            )
        return await self._parts.cold_reads.compare(prompt, caller, new_tokens, progress)

    async def recheck(
        self,
        kept: Kept,
        scope: str,
        indices: Seq[int],
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
    ) -> Recheck:
        return Recheck(0, 0, None)  # a fleet has no pages that could be looked at

    def figures(self) -> FleetFigures:
        """Return what the replicas do now, for metrics and listings. No I/O."""
        replicas, resident = self._replicas, self._residency.held_tokens()
        return FleetFigures(
            self._settings.name,
            tuple(
                self._figures_of(name, resident.get(name, {})) for name in sorted(r.name for r in replicas)
            ),
            dict(replicas.retries),
            replicas.broken_streams,
            self._copies.warmed,
            self._copies.prefixes.wanted,
            self._residency.blocks,
            self._residency.overruled,
        )

    def _figures_of(self, name: str, resident: Mapping[ReplicaTier, int]) -> ReplicaFigures:
        replica, load = self._replicas.find(name), self._replicas.loads.load(name)
        assert replica is not None
        measured = name in self._replicas.speeds.samples()
        return ReplicaFigures(
            name,
            replica.usable,
            replica.state,
            load.running - replica.others,
            int(load.queued_tokens),
            load.prefill_tokens_per_s if measured else 0.0,
            self._residency.block_of(name),
            self._parts.events.lag_s(name),
            replica.facts.version if replica.facts is not None else "",
            replica.fingerprint,
            self._parts.events.gaps(name),
            resident,
            replica.reads.answers,
            replica.reads.hits,
            replica.reads.prompt_tokens,
            replica.reads.cached_tokens,
        )


def fleet_fingerprint(model: str, tokenizer_digest: str, template_digest: str) -> str:
    """Return the name of what a fleet's kept prefixes depend on: all proxies before it have the same.

    Example: ``fleet_fingerprint("qwen3-4b", tokenizer.digest, template.digest)``
    """
    text = "\n".join((model, tokenizer_digest, template_digest))
    return f"fleet-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
