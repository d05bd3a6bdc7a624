"""`PlaygroundStream`: one side of the playground as server-sent events: started, piece, done."""

from __future__ import annotations

from typing import Any

from kvproxy.core import Hit
from kvproxy.errors import KVProxyError
from kvproxy.events import Event, ReasoningDelta, Started, TextDelta, TokenLogprob, Usage
from kvproxy.reply import Reply
from kvproxy.wire.answers import event_bytes
from kvproxy.wire.answers.cost_bodies import priced


class PlaygroundStream:
    """Encodes the events of one answer, as ``StreamEncoder`` wants it. Each piece has its tokens' bytes as hex, so that
    two answers can be compared token by token."""

    def started(self, reply: Reply) -> bytes:
        """Encode what is known at the first token.

        Example: ``await out.send(encoder.started(reply))``
        """
        decision, started = reply.decision, reply.started
        told: dict[str, Any] = {
            "hit": isinstance(decision, Hit),
            "reason": None if isinstance(decision, Hit) else decision.reason.value,
            "prompt_tokens": len(reply.prompt.token_ids),
            "cached_tokens": started.cached_tokens if started.confirmed else None,
            "ttft_s": reply.ttft_s,
            "queue_s": started.queue_s,
            "load_s": started.load_s,
            "prefill_s": started.prefill_s,
        }
        return event_bytes.event(told, "started")

    def begin(self, started: Started, *, prompt_tokens: int, choices: int) -> bytes:
        """Encode nothing: :meth:`started` has told it."""
        return b""

    def event(self, index: int, event: Event) -> bytes:
        """Encode a piece of the answer."""
        if isinstance(event, TextDelta):
            piece = {"text": event.text, "tokens": token_texts(event.logprobs)}
            return event_bytes.event(piece, "piece")
        if isinstance(event, ReasoningDelta):
            return event_bytes.event({"text": event.text, "tokens": [], "reasoning": True}, "piece")
        return b""

    def end(self, usage: Usage) -> bytes:
        """Encode the final counts and the price."""
        done = {
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "completion_tokens": usage.completion_tokens,
            **priced(usage),
        }
        return event_bytes.event(done, "done")

    def error(self, error: KVProxyError) -> bytes:
        """Encode an error that ends the answer."""
        return event_bytes.event(error.body(), "error")

    def pulse(self) -> bytes:
        """Return a comment."""
        return event_bytes.KEEPALIVE


def token_texts(logprobs: tuple[TokenLogprob, ...]) -> list[str]:
    """Return the bytes of each chosen token as hex."""
    return [one.chosen.text.hex() for one in logprobs]
