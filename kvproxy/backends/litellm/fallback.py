"""Fallback: a miss that an upstream answers in the engine's place. Its body, and its chunks as events. Pure."""

from __future__ import annotations

from typing import Any

from kvproxy.backends.litellm.openai_cleanup import usage
from kvproxy.core import Sampling
from kvproxy.events import (
    Event,
    Finished,
    FinishReason,
    Likelihood,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)

_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_NO_TOKEN = -1
"""Upstreams name tokens by their text; fields with token ids are for the engine's own vocabulary."""


class FallbackReader:
    """Reads one stream. ``cached_tokens`` is known at its end: Started says 0, Finished the true count."""

    def __init__(self) -> None:
        self.started = False
        self._usage: dict[str, Any] = {}
        self._reason: FinishReason = "stop"
        self._calls = 0

    def read(self, chunk: dict[str, Any]) -> list[Event]:
        """Read one chunk and return its events."""
        events: list[Event] = []
        if not self.started:
            self.started = True
            events.append(Started(0, False, queue_s=0.0, load_s=0.0, prefill_s=0.0, parsed=True))
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                events.append(ReasoningDelta(thought))
            logprobs = _logprobs(choice.get("logprobs"))
            # A refusal is said as text, as the engine's own model would say it.
            if (text := delta.get("content") or delta.get("refusal") or "") or logprobs:
                events.append(TextDelta(text, max(1, len(logprobs)), logprobs))
            events += [self._call(call) for call in delta.get("tool_calls") or ()]
            if reason := choice.get("finish_reason"):
                self._reason = _REASONS.get(reason, "stop")
        return events

    def _call(self, call: dict[str, Any]) -> ToolCallDelta:
        """Join the pieces of calls. The first piece of each has an id; upstreams repeat the name, or leave it empty,
        in later ones."""
        function = call.get("function") or {}
        index = int(call.get("index") or 0)
        first = index >= self._calls
        self._calls = max(self._calls, index + 1)
        return ToolCallDelta(
            index,
            (call.get("id") or f"call_{index}") if first else None,
            (function.get("name") or "") if first else None,
            function.get("arguments") or "",
        )

    def finished(self) -> Finished:
        """Return the event that ends the answer."""
        counts = usage(self._usage)
        details = counts["prompt_tokens_details"]
        spent = counts.get("completion_tokens_details") or {}
        return Finished(
            self._reason,
            Usage(
                prompt_tokens=counts["prompt_tokens"],
                completion_tokens=counts["completion_tokens"],
                cached_tokens=details["cached_tokens"],
                cache_write_tokens=details.get("cache_write_tokens", 0),
                reasoning_tokens=spent.get("reasoning_tokens", 0),
            ),
        )


def sampling_arguments(sampling: Sampling, *, transparent: bool) -> dict[str, Any]:
    """Return the arguments for a fallback upstream; only those that differ from its defaults.

    ``transparent``: it speaks OpenAI's dialect, so the fields that engines have added to it go along as data. Token
    ids are left out: they name tokens of the local vocabulary, and mean others elsewhere.
    """
    asked: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    optional: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "logprobs": None if sampling.logprobs is None else True,
        "top_logprobs": sampling.logprobs or None,
    }
    added: dict[str, Any] = {
        "top_k": sampling.top_k or None,
        "min_p": sampling.min_p or None,
        "repetition_penalty": None if sampling.repetition_penalty == 1.0 else sampling.repetition_penalty,
        "min_tokens": sampling.min_tokens or None,
        "ignore_eos": sampling.ignore_eos or None,
    }
    asked |= {k: v for k, v in optional.items() if v is not None}
    extra = {k: v for k, v in added.items() if v is not None}
    return asked | ({"extra_body": extra} if transparent and extra else {})


def with_format(
    plain: dict[str, Any], sampling: dict[str, Any], *, transparent: bool, confined: bool = False
) -> dict[str, Any]:
    """Return the whole of a fallback's arguments. A ``confined`` prompt may go to no other provider: it has no
    fallback. ``plain`` may have ``structured_outputs``, which only engines of
    OpenAI's dialect know: where another upstream could answer, none may, rather than one that has not heard of it.

    Example: ``with_format(plain, {"temperature": 0}, transparent=True)``
    """
    plain = dict(plain)
    wanted = plain.pop("structured_outputs", None)
    if confined:
        return {**plain, **sampling, "disable_fallbacks": True}
    if wanted is None:
        return {**plain, **sampling}
    if not transparent:
        return {**plain, **sampling, "disable_fallbacks": True}
    extra = {**sampling.get("extra_body", {}), "structured_outputs": wanted}
    return {**plain, **sampling, "extra_body": extra}


def _logprobs(given: dict[str, Any] | None) -> tuple[TokenLogprob, ...]:
    tokens = (given or {}).get("content") or ()
    return tuple(
        TokenLogprob(_likelihood(t), tuple(map(_likelihood, t.get("top_logprobs") or ()))) for t in tokens
    )


def _likelihood(given: dict[str, Any]) -> Likelihood:
    text = given.get("bytes")
    raw = str(given.get("token", "")).encode("utf-8", "replace") if text is None else bytes(text)
    return Likelihood(_NO_TOKEN, raw, float(given["logprob"]))
