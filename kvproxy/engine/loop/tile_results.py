"""Results of a tile: KV becomes findable, tokens are chosen and emitted, finished sequences are handed back.

The one owner of the way from logits to events. A token is chosen from the row behind the answer so far, with
the penalties and the grammar state that the answer then has, whether the row was drafted or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.core.session_hints import Retained
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_writer import PageWriter
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.decode.logprobs import token_logprob
from kvproxy.engine.decode.sampler import SampledRow, choose, grammar_fault
from kvproxy.engine.decode.speculation import DraftCounts
from kvproxy.engine.loop.isolation import isolated, last_error
from kvproxy.engine.loop.scheduler import TileWork
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.tile_runner import Scored
from kvproxy.errors import KVProxyError, Unavailable
from kvproxy.events import Finished, FinishReason, Started, Usage

LastEvent = Finished | KVProxyError
"""The last event of a sequence, which is emitted after its pages and its place were given back."""


class TileResults:
    """Hands out the results of tiles. Engine thread only.

    Every method but :meth:`hand_out` raises exceptions that concern its sequence alone.
    """

    def __init__(
        self,
        cache: KVCache,
        keeper: PageWriter,
        end: Callable[[Sequence, LastEvent], None],
    ) -> None:
        """``end`` is called with a sequence once its pages are stored, in a later step than that of its last tile."""
        self._cache, self._keeper, self._end = cache, keeper, end
        self.drafts = DraftCounts()

    def hand_out(self, work: TileWork, scored: Seq[Scored]) -> Iterator[tuple[Sequence, LastEvent]]:
        """Register the KV of a tile that was run, choose and emit the next tokens, and yield each sequence that ends.

        The caller ends a sequence before it takes the next one.
        Example: ``for seq, last in results.hand_out(work, scored): end(seq, last)``
        """
        for part in work.parts:
            try:
                last: LastEvent | None = self.computed(part.sequence)
            except Exception as e:
                last = last_error(part.sequence, e)
            if last is not None:
                yield part.sequence, last
        for rows in scored:
            if rows.sequence.phase is Phase.ENDED:
                continue
            try:
                last = self._advance(rows)
            except Exception as e:
                last = last_error(rows.sequence, e)
            if last is not None:
                yield rows.sequence, last

    def computed(self, seq: Sequence) -> Finished | None:
        """Register a sequence's new KV and, at the end of its prompt, begin the next phase.

        Returns the last event of a prefill-only job when its prompt is complete.
        """
        seq.served_at = time.perf_counter()
        if seq.failure is not None:
            raise seq.failure
        prefilling = seq.phase is Phase.PREFILL
        if prefilling and seq.job.inspect is not None:
            seq.job.inspect(seq)
        ended_prompt = prefilling and seq.computed >= seq.prefill_end
        last = self.register(seq, partial=ended_prompt)
        if ended_prompt and not seq.resumed:
            self._hold(seq, last)
        if prefilling and seq.on_progress is not None:
            seq.on_progress(seq.computed, seq.prompt_tokens)
        if not ended_prompt:
            return None
        seq.prefill_s = time.perf_counter() - seq.admitted_at - seq.load_s
        self._cache.costs.computed(seq.cached, seq.prefill_end, seq.prefill_s)
        if seq.resumed:
            seq.phase = Phase.DECODE
        elif seq.job.persist:
            self._persist(seq, last)
        elif seq.job.max_tokens == 0:
            _begin(seq)
            return self.finish(seq, "length")
        elif seq.job.shared_scope is not None:
            self._keeper.restore([n for n in seq.chain if n.scope == seq.job.shared_scope])
        return None

    def finish(self, seq: Sequence, reason: FinishReason) -> Finished:
        """Emit withheld text and register the last KV. Returns the last event."""
        last = _last_event(seq, reason)
        # The last token was never computed, so it is no part of the registered KV.
        tail = self.register(seq, partial=True)
        if seq.retained is not None and seq.retained.seconds:
            self._hold(seq, tail)
        return last

    def _hold(self, seq: Sequence, last: Node | None) -> None:
        """Hold the sequence's pages for its session, or release the session's; the prompt's outcome is what is told."""
        wish = seq.job.hold
        if wish is None:
            return
        found = self._cache.hold_session(wish, (*seq.chain, *([last] if last is not None else [])))
        if seq.retained is None:
            seq.retained = Retained(wish.seconds, found.asked, found.held, found.released)

    def register(self, seq: Sequence, *, partial: bool) -> Node | None:
        """Make the sequence's full pages findable and, with ``partial``, the computed part of its last one.

        Positions that the job keeps for itself stay private. Returns the partial page's node.
        """
        until = seq.job.registers_until
        end = seq.computed if until is None else min(seq.computed, until)
        while (seq.registered + 1) * PAGE_TOKENS <= end:
            node = self._register_page(seq, seq.registered, (seq.registered + 1) * PAGE_TOKENS)
            if node is None:
                return None
            seq.chain.append(node)
            seq.registered += 1
        if partial and end > seq.registered * PAGE_TOKENS:
            return self._register_page(seq, seq.registered, end)
        return None

    def _register_page(self, seq: Sequence, index: int, end: int) -> Node | None:
        parent = seq.chain[-1] if seq.chain else None
        scope, token_ids = seq.page_entry(index, end)
        return self._cache.register(scope, parent, token_ids, seq.pages[index])

    def _persist(self, seq: Sequence, last: Node | None) -> None:
        """Write the sequence's pages to the store; it ends when the store has them all."""
        seq.phase = Phase.PERSISTING
        nodes = (*seq.chain, *([last] if last is not None else []))

        def stored(error: Exception | None) -> None:
            if seq.phase is Phase.ENDED:
                return
            with isolated(seq, self._end):
                if error is not None:
                    raise error
                seq.kept = nodes
                _begin(seq)
                self._end(seq, self.finish(seq, "length"))

        if sum(len(n.token_ids) for n in nodes) < seq.prompt_tokens:
            raise Unavailable(
                "the document's pages were dropped while it was being published; publish it again"
            )
        self._keeper.save(nodes, stored, seq.job.owner)

    @torch.inference_mode()
    def _advance(self, scored: Scored) -> LastEvent | None:
        """Choose a token from the first row, and from each row behind a drafted token that was chosen; drafted tokens
        behind the first other one are dropped. Emits the text.

        Modifies the sequence: its phase, its tokens and the state that depends on them, and ``computed``, which
        counts the KV of chosen tokens only. Returns the last event where the answer ends.
        """
        seq, draft = scored.sequence, scored.draft
        before, accepted = seq.generated, 0
        while True:
            chosen, end = _next_token(seq, scored.logits[accepted], scored.greedy[accepted])
            if accepted == len(draft) or chosen != draft[accepted]:
                break
            accepted += 1
            if end is not None:
                break
            seq.computed += 1
        if draft and seq.drafter is not None:
            rejected = len(draft) - accepted
            seq.drafter.learn(accepted, missed=rejected > 0 and end is None, rejected=rejected)
        self.drafts.add(seq.generated - before, len(draft), accepted)
        if end is None or isinstance(end, KVProxyError):
            return end
        return self.finish(seq, end)


def _next_token(
    seq: Sequence, logits: torch.Tensor, likeliest: int
) -> tuple[int | None, FinishReason | KVProxyError | None]:
    """Choose the next token, append it to the sequence and emit its text.

    Returns the token, and the reason or error that ends the answer with it. An end token is counted and not shown.
    logits: float32 [vocab].
    """
    job = seq.job
    row = SampledRow(job.sampling, job.seed, seq.generated, seq.penalties, job.constraint, seq.forbidden)
    chosen = choose(logits, likeliest, row)
    if isinstance(chosen, KVProxyError):
        return None, chosen
    complete = False
    if job.constraint is not None:
        try:
            job.constraint.accept(chosen)
            complete = job.constraint.done
        except Exception as e:
            return None, grammar_fault(e)
    if seq.phase is Phase.PREFILL:
        if not seq.resumed:
            _begin(seq)  # Only now: an answer that fails at its first token has not begun.
        seq.phase = Phase.DECODE
    if seq.append(chosen):
        return chosen, "stop"
    wanted = job.sampling.logprobs
    logprob = None if wanted is None else token_logprob(logits, chosen, wanted, seq.detokenizer.vocabulary)
    if (delta := seq.deltas.push(chosen, logprob)) is not None:
        seq.emit(delta)
    if seq.deltas.stopped_by is not None or complete:
        return chosen, "stop"
    return chosen, "length" if seq.generated >= job.max_tokens else None


def _begin(seq: Sequence) -> None:
    """Emit Started, once the prompt is computed."""
    collapsed = seq.collapsed and seq.hit_tokens > 0
    queue_s = seq.admitted_at - seq.arrived_at
    written = _written_tokens(seq)
    seq.emit(
        Started(
            seq.hit_tokens,
            collapsed,
            queue_s,
            seq.load_s,
            seq.prefill_s,
            cache_write_tokens=written,
            retained=seq.retained,
            arrived_at=seq.arrived_at,
        )
    )


def _last_event(seq: Sequence, reason: FinishReason) -> Finished:
    """Emit withheld text, and return the event that the sequence ends with."""
    if (delta := seq.deltas.flush()) is not None:
        seq.emit(delta)
    stopped_by = seq.deltas.stopped_by
    written = _written_tokens(seq)
    usage = Usage(seq.prompt_tokens, seq.generated, seq.hit_tokens, written, prediction=seq.prediction)
    return Finished(reason if stopped_by is None else "stop", usage, stopped_by)


def _written_tokens(seq: Sequence) -> int:
    """Count the prompt's positions that this sequence computed and that other requests may take from it."""
    until = seq.job.registers_until
    kept = seq.prompt_tokens if until is None else min(seq.prompt_tokens, until)
    return max(0, kept - seq.hit_tokens)
