"""One request inside the engine: its tokens, its pages and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

import torch

from kvproxy.core import PAGE_TOKENS, Event, Sampling
from kvproxy.engine.detokenize import Detokenizer
from kvproxy.engine.index import Node


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
    shared_end: int = 0
    shared_scope: str | None = None
    require_cached: int = 0
    reuse: bool = True
    """False computes everything anew: the cold side of ``kvproxy verify``."""
    register: bool = True
    """False leaves nothing behind for other readers."""
    persist: bool = False
    """Do not finish before every page is in the store."""
    score_from: int | None = None
    """Collect float32 logits of every position from here on."""


Emit = Callable[[Event | BaseException], None]
"""Called on the engine thread; must not block. An exception ends the stream."""


@dataclass(eq=False, slots=True)
class Sequence:
    job: Job
    emit: Emit
    detokenizer: Detokenizer
    phase: Phase = Phase.WAITING
    pages: list[int] = field(default_factory=list)
    reserved: int = 0
    """Pages promised to this sequence and not taken yet."""
    tokens: list[int] = field(default_factory=list)
    """Prompt and answer."""
    computed: int = 0
    """Positions whose KV is in ``pages``."""
    cached: int = 0
    registered: int = 0
    """Full pages that are in the index; ``chain[i]`` is page i's node."""
    chain: list[Node] = field(default_factory=list)
    matched: tuple[Node, ...] = ()
    """Pinned while LOADING."""
    following: Sequence | None = None
    collapsed: bool = False
    cancelled: bool = False
    kept: tuple[Node, ...] = ()
    """For persist jobs: the nodes of the whole prefix, once they are in the store."""
    on_progress: Callable[[int, int], None] | None = None
    logits: list[torch.Tensor] = field(default_factory=list)
    arrived_at: float = field(default_factory=time.perf_counter)
    admitted_at: float = 0.0
    load_s: float = 0.0
    prefill_s: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = list(self.job.token_ids)

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

    def scope_of(self, end: int) -> str:
        """The scope of a page that ends at position ``end``."""
        job = self.job
        return job.shared_scope if job.shared_scope is not None and end <= job.shared_end else job.scope

    def page_tokens(self, index: int, end: int) -> tuple[int, ...]:
        return tuple(self.tokens[index * PAGE_TOKENS : min((index + 1) * PAGE_TOKENS, end)])
