"""Protocols between the pipeline and its backends. Engine and proxy need not share a process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from kvproxy.core import (
    Caller,
    Constraint,
    Kept,
    KeptCost,
    KeptPage,
    LeftOut,
    NoPages,
    PageLookup,
    PagesFound,
    Prompt,
    Residency,
    Sampling,
)
from kvproxy.core.fleet_comparison import FleetComparison
from kvproxy.core.page_comparisons import Audit, BadPage, Comparison, Recheck
from kvproxy.core.prefill_progress import PrefillProgress
from kvproxy.core.replica_choice import ReplicaChoice, ReplicaResidency
from kvproxy.core.session_hints import RetainHint
from kvproxy.events import Event

__all__ = [
    "Audit",
    "BadPage",
    "Comparison",
    "Endpoint",
    "EngineInfo",
    "FleetComparison",
    "Generation",
    "Kept",
    "KeptCost",
    "KeptPage",
    "LocalBackend",
    "MissBackend",
    "NoPages",
    "PageLookup",
    "PagesFound",
    "PlacesClaim",
    "Recheck",
]


Endpoint = Literal["chat/completions", "completions", "responses", "messages", "embeddings"]
"""Endpoint of an upstream model, named by its path below ``/v1/``."""


class PlacesClaim(Protocol):
    """Places in the engine for the choices of one request, taken as a whole with the first of them. Belongs to the
    backend that made it."""

    def enter(self) -> None:
        """Take one of the claimed places."""

    def leave(self, *, failed: bool) -> None:
        """Give the place back; ``failed``: the generation ended with an error."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One choice by the local engine. ``request_id`` is unique: cancellation and logs refer to it."""

    request_id: str
    prompt: Prompt
    sampling: Sampling
    caller: Caller
    require_cached: int = 0
    """Fail with HitLost rather than prefill, when fewer positions than this can be taken from pages.

    0 is a plain prefill: kept pages are still used, since a prefill would give the same bits.
    """
    constraint: Constraint | None = None
    keep_until: int | None = None
    """Positions from here on leave nothing behind for other readers; None keeps all, 0 nothing."""
    retain: bool = True
    """False: nothing stays behind at all, audits included, and the memory of its own pages is overwritten."""
    fresh: bool = False
    """Take nothing from kept pages and leave nothing behind: the prompt's document is in quarantine, or the client
    asked for a prefill from scratch."""
    predicted: tuple[int, ...] | None = None
    """Tokens that the client expects of the answer, as a source of drafts; None where it said nothing of it."""
    hint: RetainHint | None = None
    """Its session's wish about the pages of its prompt; None where it has none."""
    claim: PlacesClaim | None = None
    """Places of the whole request; None: this choice is all of it."""
    progress: PrefillProgress | None = None
    """Follows the prefill, for a client that leaves before its end."""
    model: str | None = None
    """The served model's name; None: the only one that the miss backend has, or the first."""
    choice: ReplicaChoice | None = None
    """The replica that its lookup chose, of a fleet; None: the backend chooses when it generates."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Constants of a running engine that callers depend on."""

    model: str
    max_context: int
    """Positions of prompt and answer together."""
    page_tokens: int
    max_kv_tokens: int
    """Positions that the whole page budget holds: no request can have more, whatever the context."""
    exact: bool
    """Whether the kernels were shown invariant here; Cache-Status claims no hit as exact otherwise."""
    places: int = 2**20
    """Generations that may run or wait at a time."""
    page_bytes: int = 0
    """Bytes of one page's KV."""
    fleet: bool = False
    """True for replicas of another engine: never ``exact``, and pins are kept as far as the replicas let them be."""
    fingerprint: str = ""
    """The ``Kept.fingerprint`` of all that it keeps: a digest of all that the kept positions depend on. Empty: unknown,
    records of any engine are taken for its own."""

    def room(self, prompt_tokens: int) -> int:
        """Tokens that an answer to such a prompt may have at most; below 1 where the prompt itself is too long."""
        return min(self.max_context, self.max_kv_tokens) - prompt_tokens


class LocalBackend(Protocol):
    """The engine that holds the KV, in this process or elsewhere.

    ``owner`` is the scope of a kept document's publisher, the same for all calls about it: a fleet of strict isolation
    keeps the document for that tenant's readers alone.
    """

    @property
    def info(self) -> EngineInfo:
        """Constants of the running engine."""

    def ready(self) -> str | None:
        """None when a request would be served now, else the reason why not."""

    def hold(self, prompt: Prompt, caller: Caller) -> AbstractContextManager[PageLookup]:
        """Look up the prompt's pages and keep them from eviction until the block ends. No I/O, < 1 ms."""

    def claim(
        self, caller: Caller, count: int, *, again: bool = False
    ) -> AbstractContextManager[PlacesClaim]:
        """Places for ``count`` generations of one request: the first of them is refused where there are not so many,
        and the others are not. ``again``: the places of those that have ended are for others of the request, as long
        as the block is open. Raises InvalidRequest for more than there ever are."""

    def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        """Yield Started, TextDelta*, Finished: raw text, with control marks like ``<think>`` and ``<tool_call>``.

        Closing the generator frees its rows and pages at the next step. Raises, before Started: Overloaded,
        ContextTooLong, CannotFit, HitLost, NotReady, UnsupportedSchema.
        """

    async def keep(
        self,
        token_ids: tuple[int, ...],
        scope: str,
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
        reuse: tuple[str, ...] = (),
    ) -> Kept:
        """Prefill a published prefix, hold its pages in ``scope`` and write them to the store.

        They are counted for the publisher ``owner``; without one, for the publisher that they were counted for before.
        Pages of the scopes ``reuse``, of the same publisher's earlier versions, are copied and not computed.

        ``progress(done, total)`` counts tokens and is called on the event loop. When this returns, the pages
        are on disk. Raises Overloaded, ContextTooLong, CannotFit, StorageFull.
        """

    async def known(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        """Make a prefix of an earlier process findable again; returns how many of its tokens are on disk."""

    def resident(self, kept: Kept, caller: Caller) -> int:
        """Tokens of a kept prefix that ``caller`` would find now, in memory or on disk. O(pages): no token ids are
        compared."""

    @property
    def most_pinned(self) -> int:
        """The number of pages that may be pinned in all."""

    def cost_of(self, kept: Kept, scope: str) -> KeptCost:
        """Estimated seconds to load a kept prefix, and to compute it. O(pages), no I/O."""

    def in_memory(self, kept: Kept, scope: str, owner: str | None = None) -> int:
        """Tokens of a kept prefix whose pages are in memory now, from its first on. O(pages)."""

    def residency(self, kept: Kept, caller: Caller) -> Residency:
        """Return the same tokens by the nearest tier that has them. O(pages), no I/O."""

    def replicas_of(self, kept: Kept, caller: Caller) -> tuple[ReplicaResidency, ...]:
        """Return the replicas of a fleet that hold a beginning of a kept prefix as ``caller`` would read it, longest
        first; () for an engine of this process. No I/O."""

    def pin_room(self) -> int:
        """Return the number of pages that may still be pinned."""

    async def pin(self, kept: Kept, scope: str, owner: str | None = None) -> Callable[[], Awaitable[None]]:
        """Load the pages that ``keep`` kept and pin them until the returned function is called, or until they are
        forgotten. Raises CannotFit, and the errors of ``keep``."""

    async def forget(
        self, kept: Kept, scope: str, still_kept: frozenset[bytes], owner: str | None = None
    ) -> None:
        """Drop a prefix from memory (at once for new readers) and disk, except pages in ``still_kept``."""

    async def compare(
        self,
        prompt: Prompt,
        caller: Caller,
        new_tokens: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Comparison | FleetComparison:
        """Compute a prompt from its pages, cut at each of them, and from scratch; compare. Leaves nothing behind.

        Others' requests go first. ``progress(done, total)`` counts tokens, on the event loop. Raises HitLost
        when no page of it is kept, CannotFit when kept and recomputed pages have no room beside each other.

        A fleet asks one replica twice, and returns a ``FleetComparison``; the replica may keep the blocks of both.
        """

    async def recheck(
        self,
        kept: Kept,
        scope: str,
        indices: Sequence[int],
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
    ) -> Recheck:
        """Compute some pages of a kept prefix again, each from the kept pages before it, and compare to the bit.

        A page costs its own positions, wherever it stands; they are computed for the tenant ``owner``. Leaves nothing
        behind; others' requests go first. Raises HitLost when not all of the prefix is kept, CannotFit when it has no
        room.

        Example: ``bad = (await local.recheck(kept, scope, [3, 28])).bad``
        """


class MissBackend(Protocol):
    """Backend of every miss and of every other model."""

    def models(self) -> tuple[str, ...]:
        """Names served by upstreams."""

    def miss(self, generation: Generation, call: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """Route a miss on ``generation.model``: its own backend's plain prefill, then its fallbacks.

        ``call``: the chat completion body a fallback is sent, without model, sampling and streaming
        parameters: messages, and where the client gave them tools, tool_choice, parallel_tool_calls and
        response_format.
        """

    def passthrough(self, model: str) -> Passthrough | None:
        """Return the raw way to an upstream that was configured for it; None: through litellm."""

    async def left_out(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[LeftOut, ...]:
        """Return the fields of a client's body that the upstream model will not see. Raises the errors of ``complete``
        about a body."""

    async def complete(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        """Ask an upstream model, not streamed: the client's body in, its JSON out, all fields intact."""

    def stream(self, endpoint: Endpoint, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Ask an upstream model, streamed: yield one dict per event of the endpoint's own kind, in order. For chat and
        text completions the last one holds usage where it was asked for."""


class UpstreamResponse(Protocol):
    """An answer after its head has arrived: bytes as the upstream sent them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Headers that describe the body and the upstream's limits; no hop-by-hop header, no credentials."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes. Raises UpstreamError when it breaks off."""


class Passthrough(Protocol):
    """Bytes in, bytes out: for upstreams that speak the client's own dialect."""

    def open(
        self, endpoint: Endpoint, raw: bytes, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Send a client's body; only the model's name in it may change. Error answers are responses too.

        ``headers`` are all that the client sent; only those that belong to the dialect travel on. Raises
        UpstreamError when the upstream cannot be reached, InvalidRequest for an endpoint that the upstream cannot have.
        """
