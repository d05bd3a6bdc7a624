"""`Job` and `Sequence`: one request inside the engine, with its tokens, its pages and its progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

import torch

from kvproxy.backends.base import PlacesClaim
from kvproxy.core import PAGE_TOKENS, KnownPrefix, Sampling
from kvproxy.core.session_hints import Retained
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.cache.session_holds import SessionHold
from kvproxy.engine.decode.constraint import TokenConstraint
from kvproxy.engine.decode.detokenizer import Detokenizer
from kvproxy.engine.decode.penalties import Penalties
from kvproxy.engine.decode.speculation import LEAST_NEW, Drafter
from kvproxy.engine.decode.text_deltas import TextDeltas
from kvproxy.engine.loop.scored_rows import ScoredRows
from kvproxy.events import Event


class Phase(Enum):
    """The states of a sequence, in the order in which it passes through them."""

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
    """One prompt to compute and answer. ``max_tokens`` 0: prefill only (publishing, scoring).

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
    """The tenant that places, pages and compute are counted for. Jobs that name none belong to one tenant."""
    shared_end: int = 0
    shared_scope: str | None = None
    require_cached: int = 0
    reuse: bool = True
    """False computes all positions anew: the cold side of ``kvproxy verify``."""
    register: bool = True
    """False registers no page for other requests."""
    keep_until: int | None = None
    """End of the positions that are registered for other requests; None registers all, 0 none."""
    wipe: bool = False
    """True overwrites its own pages with zeros before it gives them back."""
    persist: bool = False
    """True: finish only when every page is in the store."""
    owner: str | None = None
    """The publisher that stored pages are counted for; None leaves the count as it is."""
    adopt: bool = False
    """True registers pages that it takes from other scopes in its own too: the next version of a document."""
    score_from: int | None = None
    """Keep the hidden states of every position from here on, as ``Sequence.scored``."""
    patience_s: float = 0.0
    """Seconds between two of its tiles in which other jobs go first. inf: a background job, which computes while no
    other does, is ended with Overloaded when others need its place, and counts for no tenant."""
    inspect: Callable[[Sequence], None] | None = None
    """Called on the engine thread after each tile of the prompt, while its pages are held. Must not raise."""
    constraint: TokenConstraint | None = None
    """The answer's grammar; its state belongs to this job alone."""
    speculate: bool = True
    """False drafts no tokens; the answer is the same."""
    open_ended: bool = False
    """True when the client set no limit: ``max_tokens`` is the end of the context, and the answer may end earlier, for
    want of pages."""
    predicted: tuple[int, ...] | None = None
    """The client's prediction of the answer, as a source of drafts; None without one."""
    hold: SessionHold | None = None
    """The wish of its session about the pages that it leaves in ``scope``."""
    known: KnownPrefix | None = None
    """The published prefix that ``token_ids`` begin with."""

    def bounds(self) -> tuple[int, ...]:
        """Return token ids among which are the smallest and the largest of the prompt. Those of a published prefix are
        looked at once: its thousands take a millisecond each time."""
        ids, known = self.token_ids, self.known
        begin = 0 if known is None or known.tokens > len(ids) else known.tokens
        rest = ids[begin:]
        first = () if known is None or not begin else known.keys.bounds(lambda: ids[:begin])
        return (*first, min(rest), max(rest)) if rest else first

    @property
    def registers_until(self) -> int | None:
        """End of the positions that other requests may take from this job; None: all of them."""
        return self.keep_until if self.register else 0


ALLOWANCE = 1024
"""Tokens of an answer that get pages before it begins; further pages are reserved as it grows."""

Emit = Callable[[Event | BaseException], None]
"""Called on the engine thread; must not block. An exception ends the stream."""


@dataclass(eq=False, slots=True)
class Sequence:
    """One job in the engine. Engine thread only, but for ``cancelled``."""

    job: Job
    emit: Emit
    detokenizer: Detokenizer
    eos_ids: frozenset[int] = frozenset()
    phase: Phase = Phase.WAITING
    pages: list[int] = field(default_factory=list)
    reserved: int = 0
    """Pages reserved for this sequence and not taken yet."""
    needed: int = 0
    """Pages that its latest attempt at admission asked for."""
    tokens: list[int] = field(default_factory=list)
    """Prompt and answer; grows by :meth:`append`."""
    computed: int = 0
    """Positions with their KV in ``pages``."""
    cached: int = 0
    """Positions that its latest admission took from kept pages."""
    hit: int | None = None
    """``cached`` of the admission that its answer began with, which usage reports; None before its first
    preemption."""
    allowance: int = ALLOWANCE
    """Further tokens of the answer that get pages at admission."""
    prefill_end: int = 0
    """End of the positions that are computed as prompt rows: the prompt's end or, after a preemption, that of all
    known tokens."""
    registered: int = 0
    """Full pages that are in the index; ``chain[i]`` is page i's node."""
    chain: list[Node] = field(default_factory=list)
    matched: tuple[Node, ...] = ()
    """Nodes retained while LOADING."""
    following: Sequence | None = None
    collapsed: bool = False
    cancelled: bool = False
    claim: PlacesClaim | None = None
    """The places of its request; None outside of an engine."""
    kept: tuple[Node, ...] = ()
    """Nodes of the whole prefix, once they are in the store (persist jobs only)."""
    retained: Retained | None = None
    """The answer to ``job.hold``, once the prompt is computed."""
    on_progress: Callable[[int, int], None] | None = None
    failure: Exception | None = None
    """Exception that concerns it alone, from a tile with rows of other sequences."""
    served_at: float = 0.0
    """``time.perf_counter`` after its latest tile."""
    arrived_at: float = field(default_factory=time.perf_counter)
    admitted_at: float = 0.0
    load_s: float = 0.0
    prefill_s: float = 0.0
    tenant: str | None = field(init=False)
    """The tenant that it counts for; None for a background job."""
    deltas: TextDeltas = field(init=False)
    penalties: Penalties | None = field(init=False)
    """None where no parameter changes the logits of single tokens."""
    drafter: Drafter | None = field(init=False)
    """None where nothing is drafted."""
    rows: ScoredRows | None = field(init=False)
    """The hidden states of a scoring job; None for any other."""

    def __post_init__(self) -> None:
        self.tenant = None if self.job.patience_s == inf else self.job.tenant
        self.tokens = list(self.job.token_ids)
        self.prefill_end = len(self.tokens)
        self.deltas = TextDeltas(self.detokenizer)
        sampling = self.job.sampling
        wanted = Penalties.wanted(sampling)
        self.penalties = Penalties(sampling, self.job.token_ids) if wanted else None
        drafts = self.job.speculate and self.job.max_tokens >= LEAST_NEW
        self.drafter = Drafter(self.job.token_ids, self.job.predicted or ()) if drafts else None
        first = self.job.score_from
        self.rows = None if first is None else ScoredRows(first, self.last_position)

    def score(self, start: int, hidden: torch.Tensor) -> None:
        """Keep the hidden states of the scored positions: see :meth:`ScoredRows.put`."""
        if self.rows is not None:
            self.rows.put(start, hidden, prompt_end=self.prompt_tokens)

    @property
    def scored(self) -> torch.Tensor:
        """[positions computed from score_from on, hidden size]: the output head is a fixed function of each row."""
        if self.rows is None:
            raise ValueError(f"{self.job.id} scored nothing")
        return self.rows.until(self.computed)

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
        """Tokens that may not be chosen next unless no other token can be."""
        sampling = self.job.sampling
        early = self.generated < sampling.min_tokens
        if sampling.ignore_eos:
            ends = self.eos_ids if self.job.constraint is not None else frozenset()
        else:
            ends = self.eos_ids if early else frozenset()
        return ends | frozenset(sampling.stop_token_ids) if early else ends

    @property
    def prompt_tokens(self) -> int:
        """Number of prompt tokens."""
        return len(self.job.token_ids)

    @property
    def generated(self) -> int:
        """Number of the answer's tokens so far."""
        return len(self.tokens) - self.prompt_tokens

    @property
    def last_position(self) -> int:
        """Positions that this sequence may ever need; the last new token is never computed."""
        return self.prompt_tokens + max(self.job.max_tokens - 1, 0)

    @property
    def reach(self) -> int:
        """Positions that get pages at admission."""
        return min(self.last_position, len(self.tokens) + max(self.allowance - 1, 0))

    @property
    def room(self) -> int:
        """Positions that have a page, taken or reserved."""
        return (len(self.pages) + self.reserved) * PAGE_TOKENS

    @property
    def own_pages(self) -> int:
        """Pages taken or reserved for it alone, without those that it shares from the cache."""
        return max(0, len(self.pages) - self.cached // PAGE_TOKENS) + self.reserved

    @property
    def resumed(self) -> bool:
        """Whether it was preempted after its answer had begun."""
        return self.hit is not None

    @property
    def hit_tokens(self) -> int:
        """Positions of the prompt that were taken from kept pages, as usage reports them."""
        return self.cached if self.hit is None else self.hit

    @property
    def required(self) -> int:
        """Cached positions that it requires; 0 for one that was preempted."""
        return 0 if self.resumed else self.job.require_cached

    def give_way(self) -> None:
        """Begin again as WAITING, with all tokens known so far. Admission takes its pages back before.

        The answer so far is computed as a prompt then, with the same bits. Without an answer yet, it starts as at its
        first admission.
        """
        if self.hit is None and self.generated:
            self.hit = self.cached
        self.phase, self.computed, self.cached, self.registered = Phase.WAITING, 0, 0, 0
        self.chain.clear()
        self.prefill_end = len(self.tokens)

    def page_entry(self, index: int, end: int) -> tuple[str, tuple[int, ...]]:
        """Return the scope and the token ids under which page ``index``, computed up to position ``end``, is
        registered."""
        job = self.job
        scope = job.scope if job.shared_scope is None or end > job.shared_end else job.shared_scope
        return scope, tuple(self.tokens[index * PAGE_TOKENS : min((index + 1) * PAGE_TOKENS, end)])
