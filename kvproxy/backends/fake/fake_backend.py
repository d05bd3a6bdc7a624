"""A backend without a model, for tests and for trying out clients.

It keeps prefixes by token ids and by scope, as the engine does, so hits, misses and their counts come out as
they would; the answer is a function of the prompt alone. Answers are planned with ``say_next``, failures with
``fail_next``. A constraint is obeyed with the smallest answer that fits, and a prediction taken as right as far as the
answer goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from kvproxy.backends.base import (
    BadPage,
    Comparison,
    EngineInfo,
    Generation,
    Kept,
    KeptCost,
    NoPages,
    PageLookup,
    PagesFound,
    Recheck,
)
from kvproxy.backends.fake.fake_answers import (
    ANSWER_WORDS,
    answer_to,
    comparison,
    cut,
    drafted,
    kept_until,
    logprobs_of,
    not_enforced,
    retained,
)
from kvproxy.backends.fake.fake_misses import FakeMisses
from kvproxy.backends.fake.fake_prefixes import FakePrefixes, pages_of
from kvproxy.backends.fake.planned_answers import PlannedAnswers
from kvproxy.core import PAGE_TOKENS, Caller, MissReason, Prompt, Residency, stored_key
from kvproxy.engine.loop.fairness.places import Claim, Places
from kvproxy.errors import CannotFit, ContextTooLong, HitLost
from kvproxy.events import Event, Finished, Started, TextDelta, Usage

__all__ = ["ANSWER_WORDS", "FakeBackend", "FakeMisses", "answer_to"]

_Tokens = tuple[int, ...]


class FakeBackend(PlannedAnswers):
    """A :class:`LocalBackend` without a model. ``disk`` survives it: give the same set to the next one for a restart.

    ``start_delay_s`` and ``token_delay_s`` slow it down; ``gate``, when given, is waited for before every
    Started; ``not_ready`` is the answer of ``ready``; ``difference`` is the distance of a hit's logits from a
    prefill's. All may be changed while it runs. ``places`` bounds the generations that run together.
    """

    def __init__(
        self,
        *,
        model: str = "fake",
        max_context: int = 4096,
        exact: bool = True,
        disk: set[bytes] | None = None,
        start_delay_s: float = 0.0,
        token_delay_s: float = 0.0,
        places: int = 2**20,
        fingerprint: str = "fake",
    ) -> None:
        super().__init__()
        self.info = EngineInfo(
            model=model,
            max_context=max_context,
            page_tokens=PAGE_TOKENS,
            max_kv_tokens=max_context,
            exact=exact,
            places=places,
            page_bytes=4 * PAGE_TOKENS,
            fingerprint=fingerprint,
        )
        self._prefixes = FakePrefixes(set() if disk is None else disk)
        self.start_delay_s, self.token_delay_s = start_delay_s, token_delay_s
        self.gate: asyncio.Event | None = None
        self.not_ready: str | None = None
        self.collapsed = False
        self.difference = 0.0
        self.generations: list[Generation] = []
        """Every generation asked for, in order."""
        self.running: set[str] = set()
        """Ids of the generations that have not ended and were not closed."""
        self.most_pinned = 2**20
        self.places = Places(places)
        """Of generations that run together, shared between callers as the engine's are."""
        self.holds = 0
        """Lookups with an open block."""

    @property
    def disk(self) -> set[bytes]:
        """Keys of the stored pages; shared with every backend that was given the same set."""
        return self._prefixes.disk

    @property
    def pinned(self) -> dict[tuple[str, tuple[int, ...]], int]:
        """Pages of each prefix that is pinned, by scope and token ids."""
        return self._prefixes.pinned

    def evict(self) -> None:
        """Forget all pages in memory, remembering that they were there."""
        self._prefixes.evict()

    def check(self) -> list[str]:
        """Every fault in words; empty when idle and nothing leaked."""
        faults = [f"generation {x} was never closed" for x in sorted(self.running)]
        return faults + ([f"{self.holds} lookups are still held"] if self.holds else [])

    def ready(self) -> str | None:
        """See ``LocalBackend.ready``."""
        return self.not_ready

    @contextmanager
    def hold(self, prompt: Prompt, caller: Caller) -> Iterator[PageLookup]:
        """See ``LocalBackend.hold``."""
        self.holds += 1
        try:
            tokens = self._prefixes.resident(prompt.token_ids, caller)
            if tokens:
                yield PagesFound(tokens=tokens, on_disk=0)
            else:
                yield NoPages(evicted=self._prefixes.seen(prompt.token_ids, caller))
        finally:
            self.holds -= 1

    def claim(self, caller: Caller, count: int, *, again: bool = False) -> Claim:
        """See ``LocalBackend.claim``.

        Example: ``with backend.claim(caller, 2) as claim: ...``
        """
        return self.places.claim(caller.scope, count, again=again)

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        """See ``LocalBackend.generate``."""
        self.generations.append(generation)
        claim = generation.claim or self.claim(generation.caller, 1)
        claim.enter()
        self.running.add(generation.request_id)
        ended = False
        try:
            error, after = self.next_failure()
            if error is not None and after < 0:
                raise error
            left_out = not_enforced(generation.constraint, answered=self.planned)
            cached = await self._prefill(generation)
            prompt_tokens = len(generation.prompt.token_ids)
            written = max(0, min(prompt_tokens, kept_until(generation)) - cached)
            yield Started(
                cached,
                self.collapsed,
                0.0,
                0.0,
                prefill_s=self.start_delay_s,
                cache_write_tokens=written,
                left_out=left_out,
                retained=retained(generation),
            )
            words, reason = cut(self.words(generation), generation)
            for said, word in enumerate(words):
                if error is not None and said == after:
                    raise error
                await asyncio.sleep(self.token_delay_s)
                yield TextDelta(word, logprobs=logprobs_of(word, generation.sampling.logprobs))
            new = max(1, len(words))
            prediction = drafted(generation.predicted, new)
            ended = True
            yield Finished(reason, Usage(prompt_tokens, new, cached, written, prediction=prediction))
        finally:
            self.running.discard(generation.request_id)
            claim.leave(failed=not ended)

    async def keep(
        self,
        token_ids: _Tokens,
        scope: str,
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
        reuse: tuple[str, ...] = (),
    ) -> Kept:
        """See ``LocalBackend.keep``.

        Example: ``kept = await backend.keep(token_ids, PUBLIC)``
        """
        error, _ = self.next_failure()
        if error is not None:
            raise error
        if len(token_ids) >= self.info.max_context:
            raise ContextTooLong(
                limit=self.info.max_context, prompt_tokens=len(token_ids), completion_tokens=1
            )
        done = 0
        while done < len(token_ids):
            await asyncio.sleep(self.start_delay_s)
            done = min(done + PAGE_TOKENS, len(token_ids))
            if progress is not None:
                progress(done, len(token_ids))
        computed = len(token_ids) - self._prefixes.store(scope, token_ids, reuse)
        pages, spent = pages_of(token_ids), self.start_delay_s if computed else 0.0
        return Kept(self.info.fingerprint, token_ids, pages, 4 * len(token_ids), spent, computed)

    async def known(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        """See ``LocalBackend.known``. Example: ``await backend.known(kept, PUBLIC)``."""
        return self._prefixes.restore(kept, scope) if kept.fingerprint == self.info.fingerprint else 0

    def resident(self, kept: Kept, caller: Caller) -> int:
        """See ``LocalBackend.resident``."""
        return self._prefixes.resident((*kept.token_ids, 0), caller)

    def cost_of(self, kept: Kept, scope: str) -> KeptCost:
        """See ``LocalBackend.cost_of``."""
        return KeptCost(0.001 * len(kept.pages), 0.1 * len(kept.pages))

    def residency(self, kept: Kept, caller: Caller) -> Residency:
        """See ``LocalBackend.residency``; everything is in memory here."""
        return Residency(memory=self.resident(kept, caller))

    def in_memory(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        """See ``LocalBackend.in_memory``. Example: ``backend.in_memory(kept, PUBLIC)``."""
        return self._prefixes.longest(kept.token_ids, (scope,))

    def pin_room(self) -> int:
        """See ``LocalBackend.pin_room``."""
        return self.most_pinned - len(self._prefixes.pinned_pages())

    async def pin(self, kept: Kept, scope: str, owner: str | None = None) -> Callable[[], Awaitable[None]]:
        """See ``LocalBackend.pin``. Example: ``release = await backend.pin(kept, PUBLIC)``."""
        new = {stored_key(page.key, scope) for page in kept.pages} - self._prefixes.pinned_pages()
        if len(new) > self.pin_room():
            raise CannotFit("too many pages are pinned", param="pinned")
        await self.keep(kept.token_ids, scope)
        self._prefixes.pin(kept, scope)

        async def release() -> None:
            self._prefixes.unpin(kept, scope)

        return release

    async def forget(
        self, kept: Kept, scope: str, still_kept: frozenset[bytes], owner: str | None = None
    ) -> None:
        """See ``LocalBackend.forget``.

        Example: ``await backend.forget(kept, PUBLIC, frozenset())``
        """
        self._prefixes.forget(kept, scope, still_kept)

    async def compare(
        self,
        prompt: Prompt,
        caller: Caller,
        new_tokens: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Comparison:
        """See ``LocalBackend.compare``.

        Example: ``await backend.compare(prompt, caller, 24)``
        """
        cached = self._prefixes.resident(prompt.token_ids, caller)
        if not cached:
            raise HitLost("no page of this prompt is kept", MissReason.NOT_RESIDENT)
        for done in range(0, len(prompt.token_ids), PAGE_TOKENS):
            await asyncio.sleep(self.start_delay_s)
            if progress is not None:
                progress(done, len(prompt.token_ids))
        answered = min(new_tokens, ANSWER_WORDS)
        pages, positions = len(pages_of(prompt.token_ids[:cached])), len(prompt.token_ids) + answered
        return comparison(cached, pages, positions, answered, self.difference)

    async def recheck(
        self,
        kept: Kept,
        scope: str,
        indices: Sequence[int],
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
    ) -> Recheck:
        """See ``LocalBackend.recheck``. Every page is right, unless ``difference`` says otherwise.

        Example: ``await backend.recheck(kept, PUBLIC, [0])``
        """
        if not await self.known(kept, scope) == len(kept.token_ids):
            raise HitLost("not all pages of this prefix are kept", MissReason.NOT_RESIDENT)
        if self.difference and indices:
            at = indices[0]
            bad = BadPage(scope, kept.pages[at].key, at, at * PAGE_TOKENS, self.difference)
            return Recheck(1, kept.pages[at].tokens, bad)
        return Recheck(len(indices), sum(kept.pages[at].tokens for at in indices), None)

    async def _prefill(self, generation: Generation) -> int:
        """Positions taken from pages. Keeps the prompt for its caller, published framings for their scope."""
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(self.start_delay_s)
        token_ids = generation.prompt.token_ids
        cached = 0 if generation.fresh else self._prefixes.resident(token_ids, generation.caller)
        if cached < (needed := generation.require_cached):
            raise HitLost(f"{cached} of {needed} positions are there", MissReason.NOT_RESIDENT)
        until = kept_until(generation)
        for span in generation.prompt.documents:
            if span.scope is not None and span.end <= until:
                self._prefixes.keep(span.scope, token_ids[: span.end])
        if until > 0:
            self._prefixes.keep(generation.caller.cache_scope, token_ids[:until])
        return cached
