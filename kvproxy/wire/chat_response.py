"""Chat completion answers, streamed and not, exactly as OpenAI's specification has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import Event, Finished, FinishReason, Started, TextDelta, Usage
from kvproxy.errors import KVProxyError
from kvproxy.wire import sse
from kvproxy.wire.answer import Answer


@dataclass(frozen=True, slots=True)
class ChatHead:
    """What every object of one answer repeats. ``created`` is Unix time in seconds."""

    id: str
    created: int
    model: str


def usage_body(usage: Usage) -> dict[str, Any]:
    """``cached_tokens`` and ``cache_write_tokens`` are always there, 0 included."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def completion(head: ChatHead, answers: Sequence[Answer], usage: Usage) -> dict[str, Any]:
    """A whole ``chat.completion``."""
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": None,
                "finish_reason": answer.reason,
            }
            for index, answer in enumerate(answers)
        ],
        "usage": usage_body(usage),
    }


class ChatStream:
    """The chunks of one stream as bytes: role first, one finish_reason for each choice, usage last if asked for.

    With ``include_usage`` every chunk before the usage chunk says ``usage: null``.
    """

    def __init__(self, head: ChatHead, *, include_usage: bool) -> None:
        self._head = head
        self._include_usage = include_usage

    def begin(self, started: Started, *, prompt_tokens: int, choices: int) -> bytes:
        return b"".join(self._chunk(i, {"role": "assistant", "content": ""}) for i in range(choices))

    def event(self, index: int, event: Event) -> bytes:
        match event:
            case TextDelta():
                return self._chunk(index, {"content": event.text})
            case Finished():
                return self._chunk(index, {}, event.reason)
        return b""

    def end(self, usage: Usage) -> bytes:
        if not self._include_usage:
            return sse.DONE
        return sse.event({**self._frame([]), "usage": usage_body(usage)}) + sse.DONE

    def error(self, error: KVProxyError) -> bytes:
        return sse.event(error.body())

    def pulse(self) -> bytes:
        return sse.KEEPALIVE

    def _chunk(self, index: int, delta: dict[str, Any], reason: FinishReason | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk = self._frame([choice])
        if self._include_usage:
            chunk["usage"] = None
        return sse.event(chunk)

    def _frame(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._head.id,
            "object": "chat.completion.chunk",
            "created": self._head.created,
            "model": self._head.model,
            "choices": choices,
        }
