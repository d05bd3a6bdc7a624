"""The embedded engine as a backend: asyncio on this side, the engine's thread on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from collections.abc import Sequence as Seq
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from kvproxy.backends.base import (
    Audit,
    Comparison,
    EngineInfo,
    Generation,
    Kept,
    NoPages,
    PageLookup,
    PagesFound,
    PlacesClaim,
    Recheck,
)
from kvproxy.backends.embedded.audit_samples import AuditSamples, ServedHit
from kvproxy.backends.embedded.engine_figures import EngineFigures
from kvproxy.backends.embedded.generation_jobs import generation_job, session_hold
from kvproxy.backends.embedded.hit_comparison import Comparer
from kvproxy.backends.embedded.job_events import run_job
from kvproxy.backends.embedded.keep_jobs import keep_job, kept_by
from kvproxy.backends.embedded.kept_pages import (
    DeletableStore,
    add_stored_pages,
    discard_pages,
    kept_cost,
    tokens_in_memory,
)
from kvproxy.core import (
    PAGE_TOKENS,
    Caller,
    Constraint,
    KeptCost,
    Prompt,
    Residency,
    stored_key,
)
from kvproxy.core.replica_choice import ReplicaResidency
from kvproxy.core.session_hints import RETAIN_DEFAULTS, RetainPolicy
from kvproxy.engine.cache.page_pins import most_pinned, pin_prefix
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.decode.constraint import CompiledGrammar, GrammarCompiler
from kvproxy.engine.loop.engine import Engine
from kvproxy.engine.loop.fairness.places import Claim
from kvproxy.engine.loop.sequence import Job, Sequence
from kvproxy.errors import InvalidRequest, Overloaded, ShuttingDown
from kvproxy.events import Event, Finished, Started

T = TypeVar("T")

_PIN_PAUSES_S = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Before each attempt to pin: a page may be evicted between its coming into memory and its being pinned, or be
reserved for a request that runs."""


class EmbeddedBackend(EngineFigures):
    """Implements ``LocalBackend``. Belongs to the event loop that first uses it."""

    def __init__(
        self,
        engine: Engine,
        model: str,
        store: DeletableStore | None,
        grammars: GrammarCompiler | None = None,
        samples: AuditSamples | None = None,
        retain: RetainPolicy = RETAIN_DEFAULTS,
    ) -> None:
        """Without ``grammars``, generations that have a constraint are refused. ``samples`` gets the hits that it
        wants, once they have been served. ``retain`` limits the wishes of sessions."""
        super().__init__(engine)
        self._model = model
        self._store = store
        self._grammars = grammars
        self._samples = samples
        self._retain = retain
        self._doubted = False

    @property
    def info(self) -> EngineInfo:
        numerics = self._engine.model.numerics
        exact = numerics.exact and not self._doubted
        pages = self._engine.cache.pool.total
        context, places = self._engine.max_context, self._engine.places
        size, fingerprint = self._engine.cache.pool.shape.bytes, self._engine.model.fingerprint
        return EngineInfo(
            self._model,
            context,
            PAGE_TOKENS,
            pages * PAGE_TOKENS,
            exact,
            places,
            size,
            fingerprint=fingerprint,
        )

    def ready(self) -> str | None:
        return None if self._engine.alive else "the engine is not running"

    @contextmanager
    def hold(self, prompt: Prompt, caller: Caller) -> Iterator[PageLookup]:
        cache = self._engine.cache
        with cache.retain_match(prompt.token_ids, caller.readable, prompt.known) as match:
            if match.tokens == 0:
                yield NoPages(evicted=match.dearer or cache.seen(prompt.token_ids, caller.readable))
                return
            on_disk = sum(len(n.token_ids) for n in match.nodes if n.page is None)
            yield PagesFound(tokens=match.tokens, on_disk=min(on_disk, match.tokens))

    def claim(self, caller: Caller, count: int, *, again: bool = False) -> Claim:
        return self._engine.claim(caller.scope, count, again=again)

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        grammar = await self._compiled(generation.constraint, generation.caller)
        hit = generation.require_cached > 0 and generation.retain
        samples = self._samples if hit and self._samples is not None and self._samples.wanted() else None
        room = max(1, self.info.room(len(generation.prompt.token_ids)))
        hold = session_hold(generation, self._retain, self._engine.cache.pool.total)
        job = generation_job(generation, room, grammar, scored=samples is not None, hold=hold)
        holder: list[Sequence] = []

        def submitted(sequence: Sequence) -> None:
            holder.append(sequence)
            if generation.progress is not None:
                generation.progress.follow(lambda: (sequence.hit_tokens, sequence.computed))

        async with aclosing(self.run(job, started=submitted, claim=generation.claim)) as events:
            async for event in events:
                if samples is not None and isinstance(event, Finished):
                    samples.put(ServedHit(generation, holder[0]))
                if isinstance(event, Started) and grammar is not None and grammar.left_out:
                    event = replace(event, left_out=grammar.left_out)
                yield event

    async def _compiled(self, constraint: Constraint | None, caller: Caller) -> CompiledGrammar | None:
        """Each answer has a state of its own; the grammar behind it is compiled once."""
        if constraint is None:
            return None
        if self._grammars is None:
            raise InvalidRequest(
                f"The model `{self._model}` cannot be held to a schema or made to call a tool.",
                param="tools" if constraint.format is None else constraint.format.param,
            )
        return await self._grammars.compile(constraint, caller)

    def run(
        self,
        job: Job,
        progress: Callable[[int, int], None] | None = None,
        started: Callable[[Sequence], None] | None = None,
        claim: PlacesClaim | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Submit a job and yield its events; closing the generator cancels it.

        Example: ``async for event in backend.run(job): ...``
        """
        return run_job(self._engine, job, progress=progress, started=started, claim=claim)

    async def keep(
        self,
        token_ids: tuple[int, ...],
        scope: str,
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
        reuse: tuple[str, ...] = (),
    ) -> Kept:
        job = keep_job(token_ids, scope, persist=self._store is not None, owner=owner, reuse=reuse)
        holder: list[Sequence] = []
        async with aclosing(self.run(job, progress, holder.append)) as events:
            async for _ in events:
                pass
        return kept_by(holder[0], self._engine.model.fingerprint, self._engine.cache.pool.shape.bytes)

    async def known(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        if kept.fingerprint != self._engine.model.fingerprint or self._store is None:
            return 0
        store, cache = self._store, self._engine.cache
        return await self._on_engine(lambda: add_stored_pages(cache, kept, scope, store.has))

    def resident(self, kept: Kept, caller: Caller) -> int:
        return self._engine.cache.resident(kept.pages, kept.token_ids, caller.readable)

    def cost_of(self, kept: Kept, scope: str) -> KeptCost:
        return kept_cost(self._engine.cache, kept, scope)

    def in_memory(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        return tokens_in_memory(self._engine.cache, kept, scope)

    @property
    def most_pinned(self) -> int:
        return most_pinned(self._engine.cache)

    def residency(self, kept: Kept, caller: Caller) -> Residency:
        store = self._store

        def is_far(node: Node) -> bool:
            return store is not None and store.tier(stored_key(node.key, node.scope)) == "objects"

        return self._engine.cache.residency(kept, caller.readable, is_far)

    def replicas_of(self, kept: Kept, caller: Caller) -> tuple[ReplicaResidency, ...]:
        return ()

    def pin_room(self) -> int:
        cache = self._engine.cache
        return max(0, most_pinned(cache) - cache.pinned)

    async def pin(self, kept: Kept, scope: str, owner: str | None = None) -> Callable[[], Awaitable[None]]:
        cache = self._engine.cache
        for pause_s in _PIN_PAUSES_S:
            await asyncio.sleep(pause_s)
            await self.keep(kept.token_ids, scope)  # from disk, where it is there
            pinned = await self._on_engine(lambda: pin_prefix(cache, kept, scope))
            if isinstance(pinned, tuple):
                break
        else:
            raise Overloaded(
                "Requests that run now have reserved the memory that pinning needs; try again in a moment.",
                retry_after_s=5,
                param="pinned",
            )
        nodes = pinned

        async def release() -> None:
            with suppress(ShuttingDown):
                await self._on_engine(lambda: cache.unpin(nodes))

        return release

    async def forget(
        self, kept: Kept, scope: str, still_kept: frozenset[bytes], owner: str | None = None
    ) -> None:
        cache = self._engine.cache
        await self._on_engine(lambda: discard_pages(cache, kept, scope, still_kept))
        if self._store is not None:
            keys = [stored_key(p.key, scope) for p in kept.pages if p.key not in still_kept]
            await asyncio.to_thread(self._store.delete, keys)

    async def compare(
        self,
        prompt: Prompt,
        caller: Caller,
        new_tokens: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Comparison:
        return await Comparer(self._engine, self.run).compare(prompt, caller, new_tokens, progress)

    async def recheck(
        self,
        kept: Kept,
        scope: str,
        indices: Seq[int],
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
    ) -> Recheck:
        return await Comparer(self._engine, self.run).recheck(kept, scope, indices, progress, owner)

    async def audit(self, hit: ServedHit) -> Audit:
        """Compute a hit that was served again, from scratch. Pages that turn out bad are forgotten, on disk too.

        Raises Overloaded when requests need its place, and the errors of ``generate``.
        """
        grammar = await self._compiled(hit.generation.constraint, hit.generation.caller)
        constraint = None if grammar is None else grammar.start()
        audit = await Comparer(self._engine, self.run).audit(hit.sequence, constraint)
        if audit.bad_pages and self._store is not None:
            keys = [stored_key(page.key, page.scope) for page in audit.bad_pages]
            await asyncio.to_thread(self._store.delete, keys)
        return audit

    def doubt(self) -> None:
        """Claim no hit as exact from now on: one was not, though its pages were right."""
        self._doubted = True

    async def check(self) -> list[str]:
        """Audit the engine's pages between two steps."""
        faults = await asyncio.wrap_future(self._engine.call(self._engine.check))
        assert isinstance(faults, list)
        return faults

    async def on_kernel_thread(self, function: Callable[[], object]) -> object:
        """Run a function that calls torch where all of it runs, between two steps. Raises ShuttingDown."""
        return await asyncio.wrap_future(self._engine.call(function))

    async def _on_engine(self, function: Callable[[], T]) -> T:
        results: list[T] = []
        await asyncio.wrap_future(self._engine.call(lambda: results.append(function())))
        return results[0]
