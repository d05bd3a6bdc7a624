"""One request inside the engine: its tokens, its pages and how far it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

import torch

from kvproxy.backends.base import PlacesClaim
from kvproxy.core import PAGE_TOKENS, Sampling
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.decode.constraint import TokenConstraint
from kvproxy.engine.decode.detokenizer import Detokenizer
from kvproxy.engine.decode.penalties import Penalties
from kvproxy.engine.decode.speculation import LEAST_NEW, Drafter
from kvproxy.engine.decode.text_deltas import Deltas
from kvproxy.events import Event

logger = logging.getLogger(__name__)


class Phase(Enum):
    WAITING = auto()
    """Not admitted: no pages reserved yet."""
    LOADING = auto()
    """Stored pages are being read."""
    FOLLOWING = auto()
    """Waits for another sequence's prefill of the same prefix."""
    PREFILL = auto()
    DECODE = auto()
    PERSISTING = auto()
    """Computed; its pages are being written to the store."""
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Job:
    """What a caller asks of the engine. ``max_tokens`` 0: prefill only (publishing, scoring).

    Pages that lie wholly within ``token_ids[:shared_end]`` are registered in ``shared_scope``, others in
    ``scope``. ``require_cached``: fail with HitLost rather than take fewer positions from pages.
    """

    id: str
    token_ids: tuple[int, ...]
    sampling: Sampling
    max_tokens: int
    scope: str
    readable: tuple[str, ...]
    seed: int
    tenant: str = ""
    """Whom it runs for: places, pages and compute are shared between tenants. Jobs that name none are one tenant's."""
    shared_end: int = 0
    shared_scope: str | None = None
    require_cached: int = 0
    reuse: bool = True
    """False computes everything anew: the cold side of ``kvproxy verify``."""
    register: bool = True
    """False leaves nothing behind for other readers."""
    keep_until: int | None = None
    """Positions from here on leave nothing behind for other readers; None keeps all, 0 nothing."""
    persist: bool = False
    """Do not finish before every page is in the store."""
    owner: str | None = None
    """The publisher that stored pages are counted for; None: who they were counted for before."""
    score_from: int | None = None
    """Keep the hidden states of every position from here on, as ``Sequence.scored``."""
    patience_s: float = 0.0
    """How long this job lets others go first between two of its tiles; inf: it computes while nobody else does,
    and is ended with Overloaded when others need its place. It is no tenant's then."""
    inspect: Callable[[Sequence], None] | None = None
    """Called on the engine's thread after each tile of the prompt, while its pages are held. Must not raise."""
    constraint: TokenConstraint | None = None
    """What the answer must look like; its state belongs to this job alone."""
    speculate: bool = True
    """False drafts nothing, wherever it would help: the answer is the same."""
    open_ended: bool = False
    """``max_tokens`` is where the context ends, and nobody's wish: the answer may end earlier, for want of pages."""
    predicted: tuple[int, ...] | None = None
    """What the client expects the answer to be like, as a source of drafts; None where it said nothing of it."""

    @property
    def registers_until(self) -> int | None:
        """End of the positions that others may take from this job; None: all of them."""
        return self.keep_until if self.register else 0


ALLOWANCE = 1024
"""Tokens of an answer whose pages are promised before it begins; further pages are promised as it grows."""

Emit = Callable[[Event | BaseException], None]
"""Called on the engine thread; must not block. An exception ends the stream."""


@dataclass(eq=False, slots=True)
class Sequence:
    job: Job
    emit: Emit
    detokenizer: Detokenizer
    eos_ids: frozenset[int] = frozenset()
    phase: Phase = Phase.WAITING
    pages: list[int] = field(default_factory=list)
    reserved: int = 0
    """Pages promised to this sequence and not taken yet."""
    needed: int = 0
    """Pages that its latest try to be admitted asked for."""
    tokens: list[int] = field(default_factory=list)
    """Prompt and answer; grows by :meth:`append`."""
    computed: int = 0
    """Positions whose KV is in ``pages``."""
    cached: int = 0
    """Positions that its latest admission took from kept pages."""
    hit: int | None = None
    """``cached`` of the admission that its answer began with, which is what its reader is told; None before that gave
    way for the first time."""
    allowance: int = ALLOWANCE
    """Tokens of the answer, from here on, whose pages are promised at admission."""
    prefill_end: int = 0
    """End of the positions that are computed as a prompt's are: of the prompt, or, where an answer that gave way is
    computed again and its rows have a prompt's bits, of all that is known."""
    registered: int = 0
    """Full pages that are in the index; ``chain[i]`` is page i's node."""
    chain: list[Node] = field(default_factory=list)
    matched: tuple[Node, ...] = ()
    """Pinned while LOADING."""
    following: Sequence | None = None
    collapsed: bool = False
    cancelled: bool = False
    claim: PlacesClaim | None = None
    """Of its request, which has its place; None outside of an engine."""
    kept: tuple[Node, ...] = ()
    """For persist jobs: the nodes of the whole prefix, once they are in the store."""
    on_progress: Callable[[int, int], None] | None = None
    hidden: torch.Tensor | None = None
    """[last_position - score_from, hidden size] of a scoring job: rows up to ``computed`` are valid."""
    failure: Exception | None = None
    """What failed for it alone in a tile that others had rows in."""
    served_at: float = 0.0
    """``time.perf_counter`` after its latest tile."""
    arrived_at: float = field(default_factory=time.perf_counter)
    admitted_at: float = 0.0
    load_s: float = 0.0
    prefill_s: float = 0.0
    tenant: str | None = field(init=False)
    """Who has a share of the engine for it; None for work that lets everybody go first."""
    deltas: Deltas = field(init=False)
    penalties: Penalties | None = field(init=False)
    """None where no parameter changes the logits of single tokens."""
    drafter: Drafter | None = field(init=False)
    """None where nothing is drafted."""

    def __post_init__(self) -> None:
        self.tenant = None if self.job.patience_s == inf else self.job.tenant
        self.tokens = list(self.job.token_ids)
        self.prefill_end = len(self.tokens)
        self.deltas = Deltas(self.detokenizer)
        sampling = self.job.sampling
        wanted = Penalties.wanted(sampling)
        self.penalties = Penalties(sampling, self.job.token_ids) if wanted else None
        drafts = self.job.speculate and self.job.max_tokens >= LEAST_NEW
        self.drafter = Drafter(self.job.token_ids, self.job.predicted or ()) if drafts else None

    def score(self, start: int, hidden: torch.Tensor) -> None:
        """Keep what was computed of the scored positions; by position, so that a row that is computed again
        replaces what it was. hidden: [rows, hidden size] of positions ``start`` on, after the last norm."""
        first = self.job.score_from
        if first is None or start + len(hidden) <= first:
            return
        self.hidden = self._with_rows_for(hidden, start + len(hidden) - first)
        skip = max(0, first - start)
        rows = hidden[skip : skip + self.last_position - start - skip]
        self.hidden[start + skip - first : start + skip - first + len(rows)] = rows

    def _with_rows_for(self, like: torch.Tensor, rows: int) -> torch.Tensor:
        """``hidden`` with at least ``rows`` rows, twice as many as before when it has to grow: an answer without a
        limit ends long before its last possible position."""
        kept, most = self.hidden, self.last_position - (self.job.score_from or 0)
        if kept is not None and len(kept) >= min(rows, most):
            return kept
        planned = len(self.job.token_ids) - (self.job.score_from or 0) + PAGE_TOKENS
        grown = like.new_empty(
            min(most, max(rows, planned, 2 * len(kept) if kept is not None else 0)), like.shape[1]
        )
        if kept is not None:
            grown[: len(kept)] = kept
        return grown

    @property
    def scored(self) -> torch.Tensor:
        """[positions computed from score_from on, hidden size]: the output head is a fixed function of each row."""
        first = self.job.score_from
        if first is None or self.hidden is None:
            raise ValueError(f"{self.job.id} scored nothing")
        return self.hidden[: max(0, self.computed - first)]

    def draft(self, most: int, *, row_cost: float, streams: int) -> tuple[int, ...]:
        """Tokens that may follow the last known one, at most ``most``; see :meth:`Drafter.propose`. They end before
        the positions that this sequence has pages for, and before the first that its grammar forbids."""
        most = min(most, self.last_position - self.computed - 1, self.room - self.computed - 1)
        known_ahead = self.computed + 1 < len(self.tokens)
        if self.drafter is None or most < 1 or known_ahead:
            return ()
        try:
            draft = self.drafter.propose(self.tokens, most, row_cost=row_cost, streams=streams)
        except Exception:
            logger.exception("%s goes on without drafts, which change no answer", self.job.id)
            self.drafter = None
            return ()
        if draft and self.job.constraint is not None:
            try:
                return draft[: self.job.constraint.valid(draft)]
            except Exception:
                return ()  # Its mask is asked next, and tells this answer's reader what is wrong.
        return draft

    @property
    def prediction(self) -> tuple[int, int] | None:
        """Tokens drafted out of the client's prediction: accepted, rejected. None without one."""
        if self.job.predicted is None:
            return None
        return (0, 0) if self.drafter is None else self.drafter.prediction

    def append(self, token: int) -> bool:
        """Append the next token of the answer, and return whether it is the answer's end rather than a part of it.

        A grammar's end is always one: nothing can follow it.
        """
        self.tokens.append(token)
        if self.penalties is not None:
            self.penalties.add(token)
        sampling = self.job.sampling
        if token in sampling.stop_token_ids:
            return True
        return token in self.eos_ids and (not sampling.ignore_eos or self.job.constraint is not None)

    @property
    def forbidden(self) -> frozenset[int]:
        """Tokens that may not be chosen next while there is any other."""
        sampling = self.job.sampling
        early = self.generated < sampling.min_tokens
        if sampling.ignore_eos:
            ends = self.eos_ids if self.job.constraint is not None else frozenset()
        else:
            ends = self.eos_ids if early else frozenset()
        return ends | frozenset(sampling.stop_token_ids) if early else ends

    @property
    def prompt_tokens(self) -> int:
        return len(self.job.token_ids)

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def last_position(self) -> int:
        """Positions this sequence may ever need: the last new token is never computed."""
        return self.prompt_tokens + max(self.job.max_tokens - 1, 0)

    @property
    def reach(self) -> int:
        """Positions whose pages are promised at admission."""
        return min(self.last_position, len(self.tokens) + max(self.allowance - 1, 0))

    @property
    def room(self) -> int:
        """Positions that have a page, taken or promised."""
        return (len(self.pages) + self.reserved) * PAGE_TOKENS

    @property
    def own_pages(self) -> int:
        """Pages taken or promised for it alone, without those that it took from the cache."""
        return max(0, len(self.pages) - self.cached // PAGE_TOKENS) + self.reserved

    @property
    def resumed(self) -> bool:
        """Whether it gave way before, and its reader has heard of it."""
        return self.hit is not None

    @property
    def hit_tokens(self) -> int:
        """Positions of the prompt that were taken from kept pages, as its reader is told."""
        return self.cached if self.hit is None else self.hit

    @property
    def required(self) -> int:
        """Cached positions that it insists on; one that gave way takes what there is."""
        return 0 if self.resumed else self.job.require_cached

    def give_way(self, *, unified: bool) -> None:
        """Begin again as WAITING, with all tokens known so far. Its pages are the admission's to take back before.

        ``unified``: decode rows have a prompt row's bits, so that the answer may be computed as a prompt. Elsewhere
        it is decoded again, token by known token. One whose answer has not begun comes as if for the first time.
        """
        if self.hit is None and self.generated:
            self.hit = self.cached
        self.phase, self.computed, self.cached, self.registered = Phase.WAITING, 0, 0, 0
        self.chain.clear()
        self.prefill_end = len(self.tokens) if unified else self.prompt_tokens

    def page_entry(self, index: int, end: int) -> tuple[str, tuple[int, ...]]:
        """Return the scope and the token ids under which page ``index``, computed up to position ``end``, is
        registered."""
        job = self.job
        scope = job.scope if job.shared_scope is None or end > job.shared_end else job.shared_scope
        return scope, tuple(self.tokens[index * PAGE_TOKENS : min((index + 1) * PAGE_TOKENS, end)])
