"""A miss that an upstream answers in the engine's place: what it is asked, and its chunks as events. Pure."""

from __future__ import annotations

from typing import Any

from kvproxy.backends.upstream_body import usage
from kvproxy.core import Event, Finished, FinishReason, Sampling, Started, TextDelta, Usage


class FallbackReader:
    """Reads one stream. ``cached_tokens`` is known at its end: Started says 0, Finished the true count."""

    def __init__(self) -> None:
        self.started = False
        self._usage: dict[str, Any] = {}
        self._reason: FinishReason = "stop"

    def read(self, chunk: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if not self.started:
            self.started = True
            events.append(Started(cached_tokens=0, collapsed=False, queue_s=0.0, load_s=0.0, prefill_s=0.0))
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            text = (choice.get("delta") or {}).get("content")
            if text:
                events.append(TextDelta(text))
            if choice.get("finish_reason") == "length":
                self._reason = "length"
        return events

    def finished(self) -> Finished:
        counts = usage(self._usage)
        details = counts["prompt_tokens_details"]
        return Finished(
            self._reason,
            Usage(
                prompt_tokens=counts["prompt_tokens"],
                completion_tokens=counts["completion_tokens"],
                cached_tokens=details["cached_tokens"],
                cache_write_tokens=details.get("cache_write_tokens", 0),
            ),
        )


def sampling_arguments(sampling: Sampling) -> dict[str, Any]:
    """What a fallback upstream is asked for; only what differs from its default."""
    asked: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.max_tokens is not None:
        asked["max_tokens"] = sampling.max_tokens
    if sampling.seed is not None:
        asked["seed"] = sampling.seed
    if sampling.stop:
        asked["stop"] = list(sampling.stop)
    return asked
