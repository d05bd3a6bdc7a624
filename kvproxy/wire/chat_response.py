"""Chat completion answers, streamed and not, exactly as OpenAI's specification has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvproxy.core import FinishReason, Usage


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
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def completion(head: ChatHead, text: str, reason: FinishReason, usage: Usage) -> dict[str, Any]:
    """A whole ``chat.completion``."""
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": reason,
            }
        ],
        "usage": usage_body(usage),
    }


@dataclass(frozen=True, slots=True)
class ChatChunks:
    """The chunks of one stream, in order: ``role``, ``text`` any number of times, ``finish``, ``usage``.

    With ``include_usage`` the client asked for the usage chunk; every chunk before it says ``usage: null``.
    """

    head: ChatHead
    include_usage: bool

    def role(self) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": ""}, None)

    def text(self, text: str) -> dict[str, Any]:
        return self._chunk({"content": text}, None)

    def finish(self, reason: FinishReason) -> dict[str, Any]:
        return self._chunk({}, reason)

    def usage(self, usage: Usage) -> dict[str, Any]:
        return {**self._frame([]), "usage": usage_body(usage)}

    def _chunk(self, delta: dict[str, Any], reason: FinishReason | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk = self._frame([choice])
        if self.include_usage:
            chunk["usage"] = None
        return chunk

    def _frame(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.head.id,
            "object": "chat.completion.chunk",
            "created": self.head.created,
            "model": self.head.model,
            "choices": choices,
        }
