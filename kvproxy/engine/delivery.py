"""What a reader hears of a sequence: its events, in order."""

from __future__ import annotations

from kvproxy.core import Finished, FinishReason, Started, TextDelta, Usage
from kvproxy.engine.runner import Sampled
from kvproxy.engine.sequence import Sequence


def begin(seq: Sequence) -> None:
    """The prompt is computed."""
    queue_s = seq.admitted_at - seq.arrived_at
    seq.emit(Started(seq.cached, seq.collapsed and seq.cached > 0, queue_s, seq.load_s, seq.prefill_s))


def deliver(result: Sampled) -> FinishReason | None:
    """Add a token to its sequence and show what can be shown by now. Returns why the answer ends with it, if
    it does; the token that says so itself is counted but not shown."""
    seq, token = result.sequence, result.token
    seq.append(token)
    if seq.ends_with(token):
        return "stop"
    _show(seq, seq.deltas.push(token, result.logprob))
    if seq.deltas.stopped_by is not None or result.complete:
        return "stop"
    return "length" if seq.generated >= seq.job.max_tokens else None


def finish(seq: Sequence, reason: FinishReason) -> Finished:
    """Show what was withheld; the last event is the caller's to emit."""
    _show(seq, seq.deltas.flush())
    stopped_by = seq.deltas.stopped_by
    until = seq.job.registers_until
    kept = seq.prompt_tokens if until is None else min(seq.prompt_tokens, until)
    usage = Usage(seq.prompt_tokens, seq.generated, seq.cached, max(0, kept - seq.cached))
    return Finished(reason if stopped_by is None else "stop", usage, stopped_by)


def _show(seq: Sequence, delta: TextDelta | None) -> None:
    if delta is not None:
        seq.emit(delta)
