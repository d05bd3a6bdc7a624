"""Hands out what a tile gave one sequence: its pages become findable, its tokens are chosen and shown, and it ends, or
its pages are stored, where it was the last that it needed."""

from __future__ import annotations

import time
from collections.abc import Callable

from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_writer import PageWriter
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.decode.speculation import DraftCounts
from kvproxy.engine.forward.invariance import Numerics
from kvproxy.engine.loop import register
from kvproxy.engine.loop.emit import advance, begin, finish
from kvproxy.engine.loop.isolation import isolated
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.tile_runner import Scored
from kvproxy.errors import KVProxyError, Unavailable
from kvproxy.events import Finished, FinishReason


class TileResults:
    """Engine thread only. What a method raises concerns its sequence alone."""

    def __init__(
        self,
        cache: KVCache,
        keeper: PageWriter,
        numerics: Numerics,
        end: Callable[[Sequence, Finished | BaseException | None], None],
    ) -> None:
        """``end`` gives back all that a sequence holds and emits its last event."""
        self._cache, self._keeper, self._numerics, self._end = cache, keeper, numerics, end
        self.drafts = DraftCounts()

    def register(self, seq: Sequence, *, partial: bool) -> Node | None:
        """:func:`registrar.register`, as this model's numerics allow."""
        return register.register(self._cache, seq, unified=self._numerics.unified, partial=partial)

    def computed(self, seq: Sequence) -> None:
        """A tile added KV to this sequence."""
        seq.served_at = time.perf_counter()
        if seq.failure is not None:
            raise seq.failure
        if seq.job.inspect is not None and seq.phase is Phase.PREFILL:
            seq.job.inspect(seq)
        ended_prompt = seq.computed >= seq.prefill_end and seq.phase is Phase.PREFILL
        last = self.register(seq, partial=ended_prompt)
        if seq.on_progress is not None and seq.phase is Phase.PREFILL:
            seq.on_progress(seq.computed, seq.prompt_tokens)
        if not ended_prompt:
            return
        seq.prefill_s = time.perf_counter() - seq.admitted_at - seq.load_s
        self._cache.costs.computed(seq.cached, seq.prefill_end, seq.prefill_s)
        if seq.resumed:
            seq.phase = Phase.DECODE
            return
        if seq.job.persist:
            self._persist(seq, last)
        elif seq.job.max_tokens == 0:
            begin(seq)
            self.finish(seq, "length")
        elif seq.job.shared_scope is not None:
            self._keeper.restore([n for n in seq.chain if n.scope == seq.job.shared_scope])

    def deliver(self, scored: Scored) -> None:
        """Choose and show the next tokens, and end the sequence where they end its answer."""
        seq, before = scored.sequence, scored.sequence.generated
        result = advance(scored)
        self.drafts.add(seq.generated - before, result.drafted, result.accepted)
        if isinstance(result.end, KVProxyError):
            self._end(seq, result.end)
        elif result.end is not None:
            self.finish(seq, result.end)

    def finish(self, seq: Sequence, reason: FinishReason) -> None:
        """Show what was withheld, keep what was computed, and end well."""
        last = finish(seq, reason)
        # The last token was never computed, so it is no part of what is kept.
        self.register(seq, partial=True)
        self._end(seq, last)

    def _persist(self, seq: Sequence, last: Node | None) -> None:
        seq.phase = Phase.PERSISTING
        nodes = (*seq.chain, *([last] if last is not None else []))

        def done(error: Exception | None) -> None:
            if seq.phase is Phase.ENDED:
                return
            with isolated(seq, self._end):
                if error is not None:
                    raise error
                seq.kept = nodes
                begin(seq)
                self.finish(seq, "length")

        if sum(len(n.token_ids) for n in nodes) < seq.prompt_tokens:
            done(Unavailable("its pages were given up while it was being published; publish it again"))
        else:
            self._keeper.save(nodes, done, seq.job.owner)
