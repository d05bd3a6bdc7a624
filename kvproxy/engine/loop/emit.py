"""From logits to what a reader hears: tokens are chosen one by one, drafted or not, and shown in order."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kvproxy.engine.decode.logprobs import token_logprob
from kvproxy.engine.decode.sampler import SampledRow, choose, grammar_fault
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.engine.loop.tile_runner import Scored
from kvproxy.errors import KVProxyError
from kvproxy.events import Finished, FinishReason, Started, TextDelta, Usage


@dataclass(frozen=True, slots=True)
class Advance:
    """What one tile gave one answer."""

    drafted: int
    accepted: int
    """How many of the drafted tokens were the answer's."""
    end: FinishReason | KVProxyError | None
    """Why the answer ends here, well or not."""


def begin(seq: Sequence) -> None:
    """The prompt is computed."""
    collapsed = seq.collapsed and seq.hit_tokens > 0
    queue_s = seq.admitted_at - seq.arrived_at
    written = written_tokens(seq)
    seq.emit(
        Started(seq.hit_tokens, collapsed, queue_s, seq.load_s, seq.prefill_s, cache_write_tokens=written)
    )


@torch.inference_mode()
def advance(scored: Scored) -> Advance:
    """Choose a token from the first row, and from each row behind a drafted token that was chosen; what was drafted
    behind the first other token is forgotten. Each token is chosen from a row whose prefix is the answer so far, with
    the state that the answer then has: by the same steps as without a draft.

    Modifies the sequence: its phase, its tokens, what depends on them, and ``computed``, which counts the KV of chosen
    tokens only.
    """
    seq, draft = scored.sequence, scored.draft
    accepted = 0
    while True:
        chosen, end = _step(seq, scored.logits[accepted], scored.greedy[accepted])
        if accepted == len(draft) or chosen != draft[accepted]:
            break
        accepted += 1
        if end is not None:
            break
        seq.computed += 1
    if draft and seq.drafter is not None:
        rejected = len(draft) - accepted
        seq.drafter.learn(accepted, missed=rejected > 0 and end is None, rejected=rejected)
    return Advance(len(draft), accepted, end)


def _step(
    seq: Sequence, logits: torch.Tensor, likeliest: int
) -> tuple[int | None, FinishReason | KVProxyError | None]:
    """The next token, which is then a part of the sequence and shown if it can be; and why the answer ends with it,
    if it does. The token that says so itself is counted but not shown. logits: float32 [vocab]."""
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
            begin(seq)  # Only now: an answer that fails at its first token has not begun.
        seq.phase = Phase.DECODE
    seq.append(chosen)
    if seq.ends_with(chosen):
        return chosen, "stop"
    wanted = job.sampling.logprobs
    logprob = None if wanted is None else token_logprob(logits, chosen, wanted, seq.detokenizer.vocabulary)
    _show(seq, seq.deltas.push(chosen, logprob))
    if seq.deltas.stopped_by is not None or complete:
        return chosen, "stop"
    return chosen, "length" if seq.generated >= job.max_tokens else None


def finish(seq: Sequence, reason: FinishReason) -> Finished:
    """Show what was withheld; the last event is the caller's to emit."""
    _show(seq, seq.deltas.flush())
    stopped_by = seq.deltas.stopped_by
    written = written_tokens(seq)
    usage = Usage(seq.prompt_tokens, seq.generated, seq.hit_tokens, written, prediction=seq.prediction)
    return Finished(reason if stopped_by is None else "stop", usage, stopped_by)


def written_tokens(seq: Sequence) -> int:
    """Positions of the prompt that this sequence computed and that others may take from it."""
    until = seq.job.registers_until
    kept = seq.prompt_tokens if until is None else min(seq.prompt_tokens, until)
    return max(0, kept - seq.hit_tokens)


def _show(seq: Sequence, delta: TextDelta | None) -> None:
    if delta is not None:
        seq.emit(delta)
