"""Clean-up of litellm's chat and text completions and embeddings: its additions undone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ADDED = frozenset({"provider_specific_fields", "cache_creation_tokens"})
"""litellm's own names, beside the upstream's."""
_NULLABLE = frozenset({"content", "refusal", "logprobs", "finish_reason"})
"""Names that OpenAI's spec wants present, null included."""


def completion(dumped: dict[str, Any]) -> dict[str, Any]:
    """Clean a dumped ModelResponse: return it as the chat.completion that OpenAI's spec describes."""
    out = {k: v for k, v in dumped.items() if v is not None and k not in _ADDED}
    out["choices"] = [
        _choice(choice, "message", _message(choice["message"], required=("role", "content", "refusal")))
        for choice in dumped.get("choices") or ()
    ]
    out["usage"] = usage(dumped.get("usage") or {})
    return out


class ChunkCleaner:
    """Turns the dumped chunks of one stream into OpenAI's: one id, model and time; usage apart."""

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._frame: dict[str, Any] = {}

    def clean(self, dumped: dict[str, Any]) -> list[dict[str, Any]]:
        """None, one or (a delta and a usage chunk came as one) two chunks."""
        if not self._frame:
            names = ("id", "created", "model")
            self._frame = {"object": "chat.completion.chunk", **{k: dumped.get(k) for k in names}}
        extra = {k: v for k, v in dumped.items() if v is not None and k not in _ADDED}
        counts = extra.pop("usage", None)
        base = extra | self._frame
        choices = [
            _choice(c, "delta", _message(c.get("delta") or {}, required=()))
            for c in dumped.get("choices") or ()
        ]
        chunks = []
        if any(c["delta"] or c["finish_reason"] for c in choices):
            chunks.append(base | {"choices": choices} | ({"usage": None} if self._include_usage else {}))
        if counts and self._include_usage:
            chunks.append(base | {"choices": [], "usage": usage(counts)})
        return chunks


def text_completion(dumped: dict[str, Any]) -> dict[str, Any]:
    """Clean a dumped TextCompletionResponse: return it as OpenAI's spec has it."""
    out = {k: v for k, v in dumped.items() if v is not None and k not in _ADDED}
    out["choices"] = [_choice(c, "text", c.get("text") or "") for c in dumped.get("choices") or ()]
    out["usage"] = usage(dumped.get("usage") or {})
    return out


class TextChunkCleaner:
    """The same for the chunks of one stream. litellm gives each a time of its own."""

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._frame: dict[str, Any] = {}

    def clean(self, dumped: dict[str, Any]) -> list[dict[str, Any]]:
        """Clean one chunk of a streamed text completion."""
        if not self._frame:
            self._frame = {k: dumped.get(k) for k in ("id", "object", "created", "model")}
        choices = [_choice(c, "text", c.get("text") or "") for c in dumped.get("choices") or ()]
        counts = dumped.get("usage") or {}
        chunks = []
        if any(c["text"] or c["finish_reason"] or c["logprobs"] for c in choices):
            chunks.append(
                self._frame | {"choices": choices} | ({"usage": None} if self._include_usage else {})
            )
        if self._include_usage and counts.get("total_tokens"):
            chunks.append(self._frame | {"choices": [], "usage": usage(counts)})
        return chunks


def _choice(dumped: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    """Clean ``value``, the choice's text under ``name``. The upstream's own fields stay; litellm's empty ones go."""
    fixed = ("index", name, "logprobs", "finish_reason")
    merged = {**(dumped.get("provider_specific_fields") or {}), **dumped}
    more = {k: v for k, v in merged.items() if v is not None and k not in (*fixed, *_ADDED)}
    return {
        "index": dumped.get("index", 0),
        name: value,
        "logprobs": dumped.get("logprobs"),
        "finish_reason": dumped.get("finish_reason"),
        **more,
    }


def embeddings(dumped: dict[str, Any]) -> dict[str, Any]:
    """Clean a dumped EmbeddingResponse; nothing is completed, so nothing is counted for it."""
    counts = _without_nulls(dumped.get("usage") or {})
    if not counts.get("completion_tokens"):
        counts.pop("completion_tokens", None)
    return {**{k: v for k, v in dumped.items() if v is not None and k not in _ADDED}, "usage": counts}


def usage(dumped: dict[str, Any]) -> dict[str, Any]:
    """Return the upstream's own counts; ``prompt_tokens_details.cached_tokens`` is 0 where it gave none."""
    out = _without_nulls(dumped)
    for name in ("prompt_tokens", "completion_tokens"):
        out.setdefault(name, 0)
    out.setdefault("total_tokens", out["prompt_tokens"] + out["completion_tokens"])
    details = out.setdefault("prompt_tokens_details", {})
    details.setdefault("cached_tokens", 0)
    return out


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {
        k: _without_nulls(v) if isinstance(v, dict) else v
        for k, v in value.items()
        if v is not None and k not in _ADDED
    }


def _message(dumped: dict[str, Any], *, required: Sequence[str]) -> dict[str, Any]:
    """Clean a message or delta. litellm moves fields it has no name for into ``provider_specific_fields``."""
    moved = dumped.get("provider_specific_fields") or {}
    merged = {**moved, **{k: v for k, v in dumped.items() if k not in _ADDED}}
    out = {k: v for k, v in merged.items() if v is not None}
    if "tool_calls" in out:
        out["tool_calls"] = [_tool_call(c) for c in out["tool_calls"]]
    if not out.get("tool_calls"):
        out.pop("tool_calls", None)
    return {**{k: None for k in required if k in _NULLABLE}, **out}


def _tool_call(dumped: dict[str, Any]) -> dict[str, Any]:
    """Clean a call's delta: the first has id, type and name, the later ones only their additions."""
    call = {k: v for k, v in dumped.items() if v is not None and k not in _ADDED}
    if isinstance(call.get("function"), dict):
        call["function"] = {k: v for k, v in call["function"].items() if v is not None and k not in _ADDED}
    if "id" not in call and "index" in call:
        call.pop("type", None)
    return call
