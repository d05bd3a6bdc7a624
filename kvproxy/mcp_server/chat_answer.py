"""A streamed chat completion, gathered into one answer with its counts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kvproxy.client import RequestFailed, error_message
from kvproxy.mcp_server.cache_outcome import CacheOutcome, read_outcome
from kvproxy.mcp_server.event_stream import Record

_STEP = 16
"""Pieces of the answer between two reports."""


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """``ttft_s``: seconds from sending the request to the first piece of text or thought, as seen here."""

    text: str
    finish_reason: str | None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    ttft_s: float | None
    cache: CacheOutcome


async def read_answer(
    began: float, cache_status: str, events: AsyncIterator[Record], progress: Callable[[int], Awaitable[None]]
) -> ChatAnswer:
    """Return the whole answer to a request sent at ``began``, of ``time.perf_counter``. ``cache_status`` is the
    header, which a comment of the stream corrects where it came too early.

    Raises RequestFailed for an error event and for a stream that ends without its usage.

    Example: ``await read_answer(time.perf_counter(), headers["Cache-Status"], events, progress)``
    """
    reading = _Reading(began, cache_status)
    async for record in events:
        if record.name == "":
            reading.comment(record.comment)
        elif reading.piece(record.value) and reading.pieces % _STEP != 1:
            continue
        await progress(reading.pieces)
    return reading.answer()


class _Reading:
    """The part of a stream that has been read so far."""

    def __init__(self, began: float, cache_status: str) -> None:
        self.pieces = 0
        self._began = began
        self._cache_status = cache_status
        self._texts: list[str] = []
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None
        self._ttft_s: float | None = None

    def comment(self, text: str) -> None:
        name, _, value = text.partition(":")
        if name.lower() == "cache-status":
            self._cache_status = value.strip()

    def piece(self, chunk: dict[str, Any]) -> bool:
        """Whether the chunk held text or thought."""
        if "error" in chunk:
            raise RequestFailed(error_message(chunk) or "the proxy failed")
        self._usage = chunk.get("usage") or self._usage
        said = False
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            self._texts.append(delta.get("content") or "")
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            said = said or bool(
                delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls")
            )
        if said:
            self.pieces += 1
            if self._ttft_s is None:
                self._ttft_s = time.perf_counter() - self._began
        return said

    def answer(self) -> ChatAnswer:
        usage = self._usage
        if usage is None:
            raise RequestFailed("the proxy ended the answer without its usage; look at its log and ask again")
        cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        return ChatAnswer(
            text="".join(self._texts),
            finish_reason=self._finish_reason,
            prompt_tokens=int(usage["prompt_tokens"]),
            cached_tokens=cached,
            completion_tokens=int(usage["completion_tokens"]),
            ttft_s=None if self._ttft_s is None else round(self._ttft_s, 4),
            cache=read_outcome(self._cache_status, cached),
        )
