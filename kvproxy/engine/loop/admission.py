"""Admission: reserves pages for a waiting sequence, shares cached ones, loads stored ones, or follows a prefill."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from kvproxy.core import PAGE_TOKENS, MissReason
from kvproxy.core.common_prefix import common_prefix
from kvproxy.engine.cache.kv_cache import KVCache, pages_for
from kvproxy.engine.cache.page_io import PageIO
from kvproxy.engine.cache.page_loads import PageLoads
from kvproxy.engine.cache.prefix_index import Node, PrefixMatch
from kvproxy.engine.loop.isolation import last_error
from kvproxy.engine.loop.sequence import Job, Phase, Sequence
from kvproxy.errors import CannotFit, ContextTooLong, HitLost, InvalidRequest, KVProxyError, Overloaded

logger = logging.getLogger(__name__)

WORTH_FOLLOWING = PAGE_TOKENS
"""Positions that another sequence's prefill must be about to save before a sequence waits for it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that a job is checked against before it is queued.

    ``pages``: the whole page budget. ``vocabulary``: width of the model's logits.
    """

    max_context: int
    pages: int
    vocabulary: int

    def check(self, job: Job) -> None:
        """Refuse a job that the engine can never serve. Raises ContextTooLong, CannotFit or InvalidRequest."""
        prompt, new = len(job.token_ids), job.max_tokens
        if prompt + new > self.max_context or prompt >= self.max_context:
            raise ContextTooLong(limit=self.max_context, prompt_tokens=prompt, completion_tokens=new)
        need = pages_for(prompt + max(new - 1, 0))
        if need > self.pages:
            raise CannotFit(
                f"This request needs {need} pages of KV ({prompt} prompt tokens and up to {new} new ones), "
                f"and the whole page budget is {self.pages} pages. Shorten it, lower max_tokens, or raise "
                "engine.page_budget."
            )
        # An id out of range would break the whole tile, and every sequence in it.
        self._check_ids(job.bounds(), "prompt")
        self._check_ids((min(job.predicted), max(job.predicted)) if job.predicted else (), "prediction")
        self._check_ids([i for i, _ in job.sampling.logit_bias], "logit_bias")
        self._check_ids(job.sampling.stop_token_ids, "stop_token_ids")

    def _check_ids(self, ids: tuple[int, ...] | list[int], param: str) -> None:
        wrong = next((i for i in ids if not 0 <= i < self.vocabulary), None)
        if wrong is not None:
            raise InvalidRequest(
                f"Invalid '{param}': {wrong} is no token of this model, whose ids are 0 to "
                f"{self.vocabulary - 1}.",
                param=param,
            )


class Admission:
    """Moves sequences from WAITING to FOLLOWING, LOADING or PREFILL. Engine thread only.

    Changes sequences and their pages; emits no events but failures.
    """

    def __init__(self, cache: KVCache, io: PageIO, fail: Callable[[Sequence, KVProxyError], None]) -> None:
        """``fail`` ends a sequence if its stored pages are rejected after it was admitted."""
        self._cache = cache
        self._fail = fail
        self._loads = PageLoads[Sequence](cache, io, lambda seq, error: fail(seq, last_error(seq, error)))

    def try_admit(self, seq: Sequence, running: Iterable[Sequence]) -> bool:
        """Admit a WAITING sequence. False when pages are short: it keeps waiting.

        Raises HitLost when the job requires more cached positions than there are. When no running sequence could give
        pages back, the partial page of its match is given up, since it would be in memory twice; then HitLost or
        CannotFit, when the pages that its own hold keeps are the ones that it lacks.
        """
        job, cache = seq.job, self._cache
        # The last prompt token's logits are needed unless nothing is to be generated.
        limit = seq.prefill_end - (1 if job.max_tokens or job.score_from is not None else 0)
        if job.score_from is not None:
            limit = min(limit, job.score_from)
        match = PrefixMatch((), 0)
        if job.reuse:
            match = cache.match(seq.tokens, job.readable, limit, job.known, least=seq.required)
        if match.tokens < seq.required:
            raise HitLost("the cached pages were evicted before admission", MissReason.NOT_RESIDENT)
        leader = self._leader(seq, match.tokens, running) if job.reuse and not seq.resumed else None
        if leader is not None:
            seq.phase, seq.following = Phase.FOLLOWING, leader
            return True
        if not self._reserve(seq, match):
            self._check_room_beside_pins(seq, match)
            if any(True for _ in running):
                return False
            match = _whole_pages(match)
            if match.tokens < seq.required or not self._reserve(seq, match):
                if seq.required:
                    raise HitLost("cached pages leave no room for the request", MissReason.NOT_RESIDENT)
                if not job.reuse:
                    raise CannotFit(
                        "The page budget has no room to compute this beside its kept pages. Raise "
                        "engine.page_budget."
                    )
                return False
        self._begin(seq, seq.matched)
        return True

    def _check_room_beside_pins(self, seq: Sequence, match: PrefixMatch) -> None:
        """Refuse a sequence that pinned documents leave no room for. Raises CannotFit.

        Waiting would not help: publishers' pins last as long as their documents. An open-ended answer, or one that has
        begun, gets a smaller reservation instead, and goes on as far as there is room.
        """
        shared = sum(1 for n in match.nodes[: match.tokens // PAGE_TOKENS] if n.pinned)
        pool, most = self._cache.pool, self._cache.pool.total - self._cache.pinned
        bound = not (seq.job.open_ended or seq.resumed)
        need = pages_for(seq.last_position if bound else len(seq.tokens)) - shared
        if need > most:
            raise CannotFit(
                f"This request needs {need} pages of KV, and pinned documents leave {most} of {pool.total}. Shorten "
                "it, lower max_tokens, unpin a document, or raise engine.page_budget."
            )
        if pages_for(seq.reach) - shared > most:
            seq.allowance = 1

    def _reserve(self, seq: Sequence, match: PrefixMatch) -> bool:
        """Retain ``match`` and reserve the pages needed besides its full resident ones. False without room."""
        whole = sum(1 for n in match.nodes[: match.tokens // PAGE_TOKENS] if n.page is not None)
        need = pages_for(seq.reach) - whole
        if match.tokens % PAGE_TOKENS and match.nodes[-1].page is None:
            need += 1  # A partial page on disk is loaded into a page of its node, and copied from there.
        seq.needed = need
        if not self._cache.retain_and_reserve(match.nodes, need):
            return False
        seq.reserved, seq.matched, seq.cached = need, match.nodes, match.tokens
        return True

    def _begin(self, seq: Sequence, nodes: tuple[Node, ...]) -> None:
        seq.admitted_at = time.perf_counter()
        self._cache.note_use(nodes)
        missing = [n for n in nodes if n.page is None]
        if not missing:
            self._attach(seq)
            return
        seq.phase = Phase.LOADING
        self._loads.begin(seq, missing, partial(self._loaded, seq))

    @property
    def loading(self) -> list[int]:
        """Pages of the pool that stored ones are being read into; they belong to no sequence."""
        return self._loads.pages

    def leave(self, seq: Sequence) -> None:
        """Give back a sequence's pages and reservations, and end it. Idempotent."""
        self._cache.release(seq.matched)
        seq.matched = ()
        for page in seq.pages[len(seq.chain) :] if seq.job.wipe else ():
            self._cache.pool.clear(
                page
            )  # Pages of the chain are others' as well; it registers none of its own.
        self._cache.return_pages(seq.pages)
        seq.pages.clear()
        self._cache.unreserve(seq.reserved)
        seq.reserved = 0
        seq.following = None
        self._loads.forget(seq)
        seq.phase = Phase.ENDED

    def _leader(self, seq: Sequence, matched: int, running: Iterable[Sequence]) -> Sequence | None:
        """Return a sequence that is computing this one's next positions, in a scope that it may read."""
        for other in running:
            if other is seq or other.phase not in (Phase.PREFILL, Phase.LOADING):
                continue
            shared = _shareable(other.job, seq.job)
            if shared - matched >= WORTH_FOLLOWING and other.computed < shared:
                return other
        return None

    def leader_done(self, seq: Sequence) -> bool:
        """Return whether a FOLLOWING sequence can go on: its leader has computed the shared positions, or has left."""
        leader = seq.following
        if leader is None or leader.phase not in (Phase.PREFILL, Phase.LOADING):
            return True
        return leader.computed >= _shareable(leader.job, seq.job)

    def _loaded(self, seq: Sequence) -> None:
        """Cut the match at the first page that did not arrive, once all reads have ended."""
        seq.load_s = time.perf_counter() - seq.admitted_at
        good: list[Node] = []
        for node in seq.matched:
            if node.page is None:
                break
            good.append(node)
        if len(good) < len(seq.matched):
            lost = seq.matched[len(good) :]
            self._cache.release(lost)
            seq.matched = tuple(good)
            seq.cached = min(seq.cached, len(good) * PAGE_TOKENS)
            if seq.cached < seq.required:
                self._fail(seq, HitLost("stored pages failed verification", MissReason.PAGES_REJECTED))
                return
            # The positions of the lost pages are computed, into pages that must be reserved.
            self._cache.unreserve(seq.reserved)
            seq.reserved = 0
            need = pages_for(seq.reach) - seq.cached // PAGE_TOKENS
            if not self._cache.reserve(need):
                self._fail(
                    seq, Overloaded("stored pages were damaged and memory is short; try again in a moment")
                )
                return
            seq.reserved = need
        self._attach(seq)

    def _attach(self, seq: Sequence) -> None:
        """Share the full pages, copy the used part of a partial one, and start computing."""
        adopting = False
        for i, node in enumerate(seq.matched):
            used = min(PAGE_TOKENS, seq.cached - i * PAGE_TOKENS)
            if used == PAGE_TOKENS and node.full:
                seq.pages.append(self._cache.share(node))
                adopting = adopting or (
                    seq.job.adopt and node.scope != seq.page_entry(i, (i + 1) * PAGE_TOKENS)[0]
                )
                if not adopting:  # else its own nodes of these pages are made with the first tile's
                    seq.chain.append(node)
                    seq.registered += 1
            elif used > 0:
                assert node.page is not None
                page = self._cache.take(seq.pages[-1] if seq.pages else None)
                seq.reserved -= 1
                seq.pages.append(page)
                self._cache.pool.copy_prefix(node.page, page, used)
        self._cache.release(seq.matched)
        seq.matched = ()
        rest = max(0, pages_for(seq.reach) - len(seq.pages))
        self._cache.unreserve(seq.reserved - rest)
        seq.reserved = rest
        seq.computed = seq.cached
        seq.phase = Phase.PREFILL


def _whole_pages(match: PrefixMatch) -> PrefixMatch:
    """Return ``match`` without the page that is used in part."""
    whole = match.tokens // PAGE_TOKENS
    return PrefixMatch(match.nodes[:whole], whole * PAGE_TOKENS)


def _shareable(leader: Job, job: Job) -> int:
    """Count the leading positions of ``leader``'s prefill that ``job`` can take from it.

    They are the positions that the leader registers; when ``job`` may not read them all, the full pages in the shared
    scope.
    """
    shared = common_prefix(leader.token_ids, job.token_ids[:-1])
    if leader.registers_until is not None:
        shared = min(shared, leader.registers_until)
    if leader.scope in job.readable:
        return shared
    if leader.shared_scope not in job.readable:
        return 0
    shared = min(shared, leader.shared_end)
    return shared - shared % PAGE_TOKENS
