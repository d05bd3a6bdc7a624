"""A backend without a model, for tests and for trying out clients.

It keeps prefixes by token ids and by scope, as the engine does, so hits, misses and their counts come out as
they would; the answer is a function of the prompt alone. Answers are planned with ``say_next``, failures with
``fail_next``. A constraint is obeyed with the smallest answer that fits, and a prediction taken as right as far as the
answer goes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from kvproxy.backends.base import (
    BadPage,
    Comparison,
    EngineInfo,
    Generation,
    Kept,
    KeptCost,
    KeptPage,
    NoPages,
    PageLookup,
    PagesFound,
    Recheck,
)
from kvproxy.backends.fake.fake_answers import (
    ANSWER_WORDS,
    answer_to,
    constrained_answer,
    cut,
    logprobs_of,
    not_enforced,
    words_of,
)
from kvproxy.backends.fake.fake_misses import FakeMisses
from kvproxy.core import PAGE_TOKENS, Caller, MissReason, Prompt, Residency, stored_key
from kvproxy.core.common_prefix import common_prefix
from kvproxy.core.session_hints import Retained
from kvproxy.engine.loop.fairness.places import Claim, Places
from kvproxy.errors import CannotFit, ContextTooLong, HitLost
from kvproxy.events import Event, Finished, Started, TextDelta, Usage

__all__ = ["ANSWER_WORDS", "FakeBackend", "FakeMisses", "answer_to"]

_Tokens = tuple[int, ...]


class FakeBackend:
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
    ) -> None:
        self.info = EngineInfo(
            model=model,
            max_context=max_context,
            page_tokens=PAGE_TOKENS,
            max_kv_tokens=max_context,
            exact=exact,
            places=places,
            page_bytes=4 * PAGE_TOKENS,
        )
        self.disk = set() if disk is None else disk
        self.start_delay_s = start_delay_s
        self.token_delay_s = token_delay_s
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
        self.pinned: dict[tuple[str, _Tokens], int] = {}
        """Pages of each prefix that is pinned, by scope and token ids."""
        self._pins: Counter[tuple[str, _Tokens]] = Counter()
        self.holds = 0
        """Lookups with an open block."""
        self._failures: deque[tuple[BaseException, int]] = deque()
        self._answers: deque[str] = deque()
        self.scripted: Callable[[Generation], str | None] | None = None
        """A function that chooses the answers of generations that ``say_next`` did not plan, for clients in other
        processes. None of it: the usual answer."""
        self._kept: dict[str, set[_Tokens]] = {}
        self._evicted: dict[str, set[_Tokens]] = {}

    def fail_next(self, error: BaseException, *, after_words: int = -1) -> None:
        """Make the next generation or ``keep`` raise ``error``: before Started, or after so many words."""
        self._failures.append((error, after_words))

    def say_next(self, text: str) -> None:
        """Make the next generation say ``text``, raw as a model would, think blocks and tool calls included."""
        self._answers.append(text)

    def evict(self) -> None:
        """Forget all pages in memory, remembering that they were there."""
        for scope, prefixes in self._kept.items():
            self._evicted.setdefault(scope, set()).update(prefixes)
        self._kept.clear()

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
            tokens = self._resident(prompt.token_ids, caller)
            if tokens:
                yield PagesFound(tokens=tokens, on_disk=0)
            else:
                old = [p for s in caller.readable for p in self._evicted.get(s, ())]
                yield NoPages(evicted=any(common_prefix(p, prompt.token_ids) == len(p) for p in old))
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
            error, after = self._failures.popleft() if self._failures else (None, -1)
            if error is not None and after < 0:
                raise error
            left_out = not_enforced(generation.constraint, answered=bool(self._answers))
            cached = await self._prefill(generation)
            prompt_tokens = len(generation.prompt.token_ids)
            written = max(0, min(prompt_tokens, _kept_until(generation)) - cached)
            yield Started(
                cached,
                self.collapsed,
                0.0,
                0.0,
                prefill_s=self.start_delay_s,
                cache_write_tokens=written,
                left_out=left_out,
                retained=_retained(generation),
            )
            words, reason = cut(self._words(generation), generation)
            for said, word in enumerate(words):
                if error is not None and said == after:
                    raise error
                await asyncio.sleep(self.token_delay_s)
                yield TextDelta(word, logprobs=logprobs_of(word, generation.sampling.logprobs))
            new = max(1, len(words))
            prediction = _drafted(generation.predicted, new)
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
        if self._failures:
            raise self._failures.popleft()[0]
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
        pages = _pages(token_ids)
        there = 0
        for page in pages:
            if not any(stored_key(page.key, known) in self.disk for known in (scope, *reuse)):
                break
            there += page.tokens
        self.disk.update(stored_key(p.key, scope) for p in pages)
        self._kept.setdefault(scope, set()).add(token_ids)
        computed = len(token_ids) - there
        spent = self.start_delay_s if computed else 0.0
        return Kept("fake", token_ids, pages, 4 * len(token_ids), spent, computed)

    async def known(self, kept: Kept, scope: str) -> int:
        """See ``LocalBackend.known``."""
        tokens = 0
        for page in kept.pages if kept.fingerprint == "fake" else ():
            if stored_key(page.key, scope) not in self.disk:
                break
            tokens += page.tokens
        if tokens:
            self._kept.setdefault(scope, set()).add(kept.token_ids[:tokens])
        return tokens

    def resident(self, kept: Kept, caller: Caller) -> int:
        """See ``LocalBackend.resident``."""
        return self._resident((*kept.token_ids, 0), caller)

    def cost_of(self, kept: Kept, scope: str) -> KeptCost:
        """See ``LocalBackend.cost_of``."""
        return KeptCost(0.001 * len(kept.pages), 0.1 * len(kept.pages))

    def residency(self, kept: Kept, caller: Caller) -> Residency:
        """See ``LocalBackend.residency``; everything is in memory here."""
        return Residency(memory=self.resident(kept, caller))

    def in_memory(self, kept: Kept, scope: str) -> int:
        """See ``LocalBackend.in_memory``."""
        held = self._kept.get(scope, ())
        return max((common_prefix(prefix, kept.token_ids) for prefix in held), default=0)

    def pin_room(self) -> int:
        """See ``LocalBackend.pin_room``."""
        return self.most_pinned - len(self._pinned_pages())

    def _pinned_pages(self) -> set[bytes]:
        return {stored_key(page.key, scope) for scope, ids in self.pinned for page in _pages(ids)}

    async def pin(self, kept: Kept, scope: str) -> Callable[[], Awaitable[None]]:
        """See ``LocalBackend.pin``."""
        new = {stored_key(page.key, scope) for page in kept.pages} - self._pinned_pages()
        if len(new) > self.pin_room():
            raise CannotFit("too many pages are pinned", param="pinned")
        await self.keep(kept.token_ids, scope)
        prefix = (scope, kept.token_ids)
        self.pinned[prefix] = len(kept.pages)
        self._pins[prefix] += 1

        async def release() -> None:
            self._pins[prefix] -= 1
            if self._pins[prefix] <= 0:
                self.pinned.pop(prefix, None)

        return release

    async def forget(self, kept: Kept, scope: str, still_kept: frozenset[bytes]) -> None:
        """See ``LocalBackend.forget``.

        Example: ``await backend.forget(kept, PUBLIC, frozenset())``
        """
        self._kept.get(scope, set()).discard(kept.token_ids)
        self.disk.difference_update(stored_key(p.key, scope) for p in kept.pages if p.key not in still_kept)

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
        cached = self._resident(prompt.token_ids, caller)
        if not cached:
            raise HitLost("no page of this prompt is kept", MissReason.NOT_RESIDENT)
        for done in range(0, len(prompt.token_ids), PAGE_TOKENS):
            await asyncio.sleep(self.start_delay_s)
            if progress is not None:
                progress(done, len(prompt.token_ids))
        answered = min(new_tokens, ANSWER_WORDS)
        pages, positions = len(_pages(prompt.token_ids[:cached])), len(prompt.token_ids) + answered
        wrong = self.difference != 0.0
        return Comparison(
            cached_tokens=cached,
            pages=pages,
            equal_pages=0 if wrong else pages,
            positions=positions,
            equal_positions=0 if wrong else positions,
            equal_argmax=0 if wrong else positions,
            largest_difference=self.difference,
            greedy_tokens=answered,
            equal_greedy=0 if wrong else answered,
            first_difference=0 if wrong else None,
        )

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

    def _words(self, generation: Generation) -> list[str]:
        if self._answers:
            return words_of(self._answers.popleft())
        if self.scripted is not None and (text := self.scripted(generation)) is not None:
            return words_of(text)
        if generation.constraint is not None:
            text = constrained_answer(generation.constraint)
            if text is not None:
                return words_of(text)
        return answer_to(generation.prompt.token_ids)

    async def _prefill(self, generation: Generation) -> int:
        """Positions taken from pages. Keeps the prompt for its caller, published framings for their scope."""
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(self.start_delay_s)
        token_ids = generation.prompt.token_ids
        cached = 0 if generation.fresh else self._resident(token_ids, generation.caller)
        if cached < generation.require_cached:
            raise HitLost(
                f"{cached} of {generation.require_cached} positions are there", MissReason.NOT_RESIDENT
            )
        until = _kept_until(generation)
        for span in generation.prompt.documents:
            if span.scope is not None and span.end <= until:
                self._kept.setdefault(span.scope, set()).add(token_ids[: span.end])
        if until > 0:
            self._kept.setdefault(generation.caller.cache_scope, set()).add(token_ids[:until])
        return cached

    def _resident(self, token_ids: _Tokens, caller: Caller) -> int:
        """Return the longest start shared with a prefix that the caller may read, short of the last token."""
        prefixes = [p for s in caller.readable for p in self._kept.get(s, ())]
        longest = max((common_prefix(p, token_ids) for p in prefixes), default=0)
        return min(longest, len(token_ids) - 1)


def _retained(generation: Generation) -> Retained | None:
    """Hold every page of the prompt, as an engine with room does."""
    hint = generation.hint
    if hint is None:
        return None
    pages = len(_pages(generation.prompt.token_ids)) if hint.seconds else 0
    return Retained(hint.seconds, pages, pages)


def _drafted(predicted: _Tokens | None, new: int) -> tuple[int, int] | None:
    """Count the accepted and the rejected tokens of a prediction."""
    if predicted is None:
        return None
    return min(len(predicted), new), max(0, len(predicted) - new)


def _kept_until(generation: Generation) -> int:
    if generation.fresh:
        return 0
    until = generation.keep_until
    return len(generation.prompt.token_ids) if until is None else until


def _pages(token_ids: _Tokens) -> tuple[KeptPage, ...]:
    pages: list[KeptPage] = []
    key = b""
    for begin in range(0, len(token_ids), PAGE_TOKENS):
        page = token_ids[begin : begin + PAGE_TOKENS]
        key = hashlib.sha256(key + repr(page).encode()).digest()
        pages.append(KeptPage(key, len(page)))
    return tuple(pages)
