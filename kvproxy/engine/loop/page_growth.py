"""Page growth: reserves pages for answers as they grow, and preempts an answer when there are none.

An answer may go on to the end of the context, and hardly any does: reserving all those pages at admission would let
one client without a limit keep all other requests waiting. So admission reserves the prompt's pages and some for the
answer, and more are reserved page by page. When there are none, the youngest answer gives its pages back and waits; it
is computed again from the pages that are still cached, with the same bits, and its client notices a pause. When several
tenants run, it is the youngest of the tenant that has most beyond its share of the pages: one tenant's answers do not
grow at the cost of a tenant that has less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.loop.fairness.tenant_shares import TenantShares
from kvproxy.engine.loop.isolation import isolated
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.tile_results import LastEvent
from kvproxy.errors import Overloaded
from kvproxy.events import Finished, FinishReason


@dataclass(frozen=True, slots=True)
class PageGrowth:
    """Finds a page for the next token of each stream. Engine thread only.

    The callbacks are the engine's: each leaves ``seq.phase`` as another one than DECODE.
    """

    cache: KVCache
    make_room: Callable[[Sequence], bool]
    """Ends a background sequence for the given one; False when there is none."""
    end: Callable[[Sequence, LastEvent], None]
    finish: Callable[[Sequence, FinishReason], Finished]
    give_way: Callable[[Sequence], None]
    """Takes an answer's pages back and makes it wait."""

    def with_room(self, decoding: list[Sequence], shares: Callable[[], TenantShares]) -> list[Sequence]:
        """Return those of ``decoding`` that have a page for their next token; the others gave way or ended.

        ``shares`` returns the tenants' shares at the time of the call.
        Example: ``growth.with_room(streams, line.shares)``
        """
        for seq in sorted(decoding, key=lambda s: s.arrived_at):
            if seq.computed >= seq.room:
                with isolated(seq, self.end):
                    self._find_room(seq, shares)
        return [s for s in decoding if s.phase is Phase.DECODE]

    def _find_room(self, seq: Sequence, shares: Callable[[], TenantShares]) -> None:
        while seq.phase is Phase.DECODE and seq.computed >= seq.room and not self._extend(seq):
            if self.make_room(seq):
                continue
            if seq.job.patience_s == inf:
                self.end(
                    seq,
                    Overloaded(
                        "background work gave way to a request; try again in a moment", retry_after_s=1
                    ),
                )
            elif self._never_fits(seq):
                self.end(seq, self.finish(seq, "length"))
            else:
                seen = shares()
                giver = seen.outgrown(seq) or _youngest(seen.running, seq)
                giver.allowance *= 2  # It must not come back only to give way again at the next page.
                self.give_way(giver)

    def _extend(self, seq: Sequence) -> bool:
        """Reserve one more page for a stream. False, and nothing is changed, when there is none."""
        if not self.cache.reserve(1):
            return False
        seq.reserved += 1
        return True

    def _never_fits(self, seq: Sequence) -> bool:
        """Return whether its next position has no page even in an idle engine: publishers' pins last as long as their
        documents."""
        pinned = sum(1 for node in seq.chain if node.pinned)
        return seq.room // PAGE_TOKENS + 1 - pinned > self.cache.pool.total - self.cache.pinned


def _youngest(running: Iterable[Sequence], seq: Sequence) -> Sequence:
    """Return the youngest stream that did not arrive before ``seq``, which lacks a page: ``seq`` itself if it is.

    The oldest stream gives way to no younger stream, so at least one always makes progress. Prompts that are being
    computed keep their pages, even those of younger sequences, to which the oldest may then give way: all that they
    need is reserved, and they will be streams soon.
    """
    younger = [s for s in running if s.phase is Phase.DECODE and s.arrived_at >= seq.arrived_at]
    return max(younger, key=lambda s: s.arrived_at, default=seq)
