"""Comparison of hits with prefills from scratch, as jobs of a running engine; used by ``verify`` and the audits."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from collections.abc import Sequence as Seq
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from math import inf
from typing import Protocol

from kvproxy.backends.base import Audit, BadPage, Comparison, Kept, Recheck
from kvproxy.core import PAGE_TOKENS, Caller, MissReason, Prompt, Sampling, owner_of
from kvproxy.core.common_prefix import common_prefix
from kvproxy.core.report_progress import ReportProgress
from kvproxy.engine.bitwise import ROWS, PageDifference, PageWatch, Rows, compare_rows, total
from kvproxy.engine.cache.kv_cache import pages_for
from kvproxy.engine.decode.constraint import TokenConstraint
from kvproxy.engine.loop.engine import Engine
from kvproxy.engine.loop.sequence import Job, Sequence
from kvproxy.errors import HitLost, KVProxyError
from kvproxy.events import Event, Finished

PATIENCE_S = 1.0
"""Seconds for which a verification lets requests go first between two of its tiles: it ends beside endless traffic."""


class ComparedRun(Protocol):
    """``EmbeddedBackend.run``."""

    def __call__(
        self,
        job: Job,
        progress: ReportProgress | None = None,
        started: Callable[[Sequence], None] | None = None,
    ) -> AsyncGenerator[Event, None]: ...


class Comparer:
    """Event loop only. Its jobs evict no page and leave none behind."""

    def __init__(self, engine: Engine, run: ComparedRun) -> None:
        self._engine = engine
        self._run = run

    async def compare(
        self, prompt: Prompt, caller: Caller, new_tokens: int, progress: ReportProgress | None = None
    ) -> Comparison:
        """As ``LocalBackend.compare``.

        A hit for each cut: the one that takes the pages before page i computes the positions of page i, so that
        all of them together cost one prefill; the last takes all that is kept and answers.

        Example: ``await comparer.compare(prompt, caller, 24)``
        """
        ids, cache = prompt.token_ids, self._engine.cache
        told = _ComparisonProgress(progress, len(ids) * 2)
        with cache.retain_match(ids, caller.readable) as match:
            kept = match.tokens
            if not kept:
                raise HitLost("no page of this prompt is kept", MissReason.NOT_RESIDENT)
            base = _job(ids, caller)
            # First, since it loads what is only on disk; held, it stays in memory until all is compared.
            hit = await self._ended(
                replace(base, max_tokens=new_tokens, score_from=kept, require_cached=kept)
            )
            told.add(len(ids) - kept)
            watch = PageWatch(cache, match.nodes, kept)
            cold = await self._ended(
                replace(base, max_tokens=new_tokens, score_from=0, reuse=False, inspect=watch), told.part
            )
            told.add(len(ids))
            parts = []
            for start in range(0, kept, PAGE_TOKENS):
                end = min(start + PAGE_TOKENS, kept)
                job = replace(base, token_ids=ids[:end], score_from=start, require_cached=start)
                piece = await self._ended(job)
                parts += await self._rows(piece, cold, start, end)
                told.add(end - start)
        equal = common_prefix(_answer(hit), _answer(cold))
        parts += await self._rows(hit, cold, kept, len(ids) + equal)
        _raise(watch)
        rows = total(parts)
        return Comparison(
            cached_tokens=hit.hit_tokens,
            pages=watch.pages,
            equal_pages=watch.equal,
            positions=rows.positions,
            equal_positions=rows.equal,
            equal_argmax=rows.equal_argmax,
            largest_difference=rows.largest,
            greedy_tokens=max(len(_answer(hit)), len(_answer(cold))),
            equal_greedy=equal,
            first_difference=watch.different[0].position if watch.different else None,
        )

    async def recheck(
        self,
        kept: Kept,
        scope: str,
        indices: Seq[int],
        progress: ReportProgress | None = None,
        owner: str | None = None,
    ) -> Recheck:
        """As ``LocalBackend.recheck``.

        Example: ``await comparer.recheck(kept, "import:5f0c", [3, 28])``
        """
        ids, cache = kept.token_ids, self._engine.cache
        base = replace(_job(ids, Caller(scope, scope)), readable=(scope,), tenant=owner or owner_of(scope))
        # A lookup leaves the last token out, and all of these are to be found: one more stands behind them.
        with cache.retain_match((*ids, 0), (scope,)) as match:
            if match.tokens < len(ids):
                raise HitLost("not all pages of this prefix are kept", MissReason.NOT_RESIDENT)
            # First, since it loads what is only on disk; held, it stays in memory until all is compared.
            await self._ended(replace(base, require_cached=len(ids)))
            told = _ComparisonProgress(progress, sum(_size(ids, index) for index in indices))
            computed = 0
            for pages, index in enumerate(indices, 1):
                start, end = index * PAGE_TOKENS, min((index + 1) * PAGE_TOKENS, len(ids))
                watch = PageWatch(cache, match.nodes[: index + 1], end, first=index)
                job = replace(base, id=f"recheck-{uuid.uuid4().hex}", token_ids=ids[:end], inspect=watch)
                await self._ended(replace(job, score_from=start, require_cached=start))
                _raise(watch)
                if watch.pages != 1:
                    raise HitLost("a page left memory before it was compared", MissReason.NOT_RESIDENT)
                computed += end - start
                told.add(end - start)
                if watch.different:
                    return Recheck(pages, computed, _bad(watch.different[0]))
        return Recheck(len(indices), computed, None)

    async def audit(self, hit: Sequence, constraint: TokenConstraint | None) -> Audit:
        """Compute a served hit again, from scratch and while the engine is idle; compare the pages that it
        took and are still in memory, its own logits, and its answer. Pages that differ are forgotten.

        ``constraint``: a new one of the same grammar. Raises Overloaded when a request needs the place.
        """
        cache = self._engine.cache
        with cache.retain_match(hit.job.token_ids, hit.job.readable) as match:
            taken = min(hit.cached, match.tokens)
            watch = PageWatch(cache, match.nodes[: pages_for(taken)], taken)
            job = replace(
                hit.job,
                id=f"audit-{uuid.uuid4().hex}",
                reuse=False,
                register=False,
                shared_scope=None,
                require_cached=0,
                patience_s=inf,
                inspect=watch,
                constraint=constraint,
            )
            cold = await self._ended(job)
            _raise(watch)
            for different in watch.different:
                await self._call(partial(cache.discard, different.node))
        equal = common_prefix(_answer(hit), _answer(cold))
        first = hit.job.score_from or 0
        rows = total(await self._rows(hit, cold, first, hit.prompt_tokens + equal))
        return Audit(
            request_id=hit.job.id,
            pages=watch.pages,
            missing_pages=pages_for(hit.cached) - watch.pages,
            bad_pages=tuple(_bad(d) for d in watch.different),
            positions=rows.positions,
            equal_positions=rows.equal,
            largest_difference=rows.largest,
            tokens=max(len(_answer(hit)), len(_answer(cold))),
            equal_tokens=equal,
        )

    async def _ended(self, job: Job, progress: ReportProgress | None = None) -> Sequence:
        holder: list[Sequence] = []
        finished = False
        async with aclosing(self._run(job, progress, holder.append)) as events:
            async for event in events:
                finished = isinstance(event, Finished)
        if not finished:
            raise KVProxyError("a comparison ended early")
        return holder[0]

    async def _rows(self, one: Sequence, other: Sequence, start: int, end: int) -> list[Rows]:
        """Logits of positions ``start`` to ``end``, as far as both computed them, a piece at a time."""
        ours, reference = (s.scored[start - (s.job.score_from or 0) :] for s in (one, other))
        count = min(len(ours), len(reference), end - start)
        head, found = self._engine.model.logits, []
        for at in range(0, count, ROWS):
            rows = slice(at, min(at + ROWS, count))
            result = await self._call(partial(compare_rows, ours[rows], reference[rows], head))
            assert isinstance(result, Rows)
            found.append(result)
        return found

    async def _call(self, function: Callable[[], object]) -> object:
        return await asyncio.wrap_future(self._engine.call(function))


class _ComparisonProgress:
    """ReportProgress over several jobs."""

    def __init__(self, progress: ReportProgress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, tokens: int) -> None:
        self._done += tokens
        self.part(0, 0)

    def part(self, done: int, _: int) -> None:
        """``done`` of the job that runs now."""
        if self._progress is not None:
            self._progress(self._done + done, self._total)


def _job(ids: tuple[int, ...], caller: Caller) -> Job:
    return Job(
        id=f"compare-{uuid.uuid4().hex}",
        token_ids=ids,
        sampling=Sampling(temperature=0.0),
        max_tokens=0,
        scope=caller.scope,
        readable=caller.readable,
        seed=0,
        tenant=caller.scope,
        register=False,
        patience_s=PATIENCE_S,
    )


def _size(ids: Seq[int], index: int) -> int:
    return min(PAGE_TOKENS, len(ids) - index * PAGE_TOKENS)


def _bad(different: PageDifference) -> BadPage:
    node = different.node
    return BadPage(node.scope, node.key, node.index, different.position, different.largest)


def _answer(sequence: Sequence) -> list[int]:
    return sequence.tokens[sequence.prompt_tokens :]


def _raise(watch: PageWatch) -> None:
    if watch.error is not None:
        raise watch.error
