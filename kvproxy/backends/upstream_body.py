"""OpenAI JSON on its way through litellm: what to hand over, and how to undo what litellm adds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvproxy.errors import InvalidRequest

# Only these names become arguments of litellm. Everything else in a client's body is data: were it passed as
# an argument too, a body with `api_base` would send the configured key to an address of the client's choice.
_PARAMETERS = frozenset(
    (
        "audio frequency_penalty function_call functions logit_bias logprobs "
        "max_completion_tokens max_tokens modalities n parallel_tool_calls prediction "
        "presence_penalty reasoning_effort response_format seed stop temperature thinking "
        "tool_choice tools top_k top_logprobs top_p user web_search_options"
    ).split()
)
_ADDED = frozenset(
    {"provider_specific_fields", "citations", "cache_creation_tokens", "thinking_blocks", "images"}
)
"""Names that litellm puts in beside the upstream's own; dropped where they are empty or its own."""
_NULLABLE = frozenset({"content", "refusal", "logprobs", "finish_reason"})
"""Names that OpenAI's spec wants present, null included."""


def call_arguments(body: dict[str, Any], *, transparent: bool) -> dict[str, Any]:
    """litellm's arguments for a client's body, without ``stream``.

    ``transparent`` (the upstream speaks OpenAI's own dialect): the whole body travels in ``extra_body``,
    which the openai client lays over what litellm made of the arguments, so the upstream gets what the
    client sent: ``developer`` stays ``developer``; ``user``, ``metadata`` and ``verbosity`` survive. Any
    other dialect gets the parameters that litellm can translate.

    Raises InvalidRequest for shapes that litellm would trip over; the rest is the upstream's to judge.
    """
    _check(body)
    call: dict[str, Any] = {"model": body["model"], "messages": body["messages"]}
    if not transparent:
        return call | {k: v for k, v in body.items() if k in _PARAMETERS and v is not None}
    rest = {k: v for k, v in body.items() if k not in ("model", "stream", "stream_options")}
    # tools as an argument as well: litellm counts and routes by them.
    return call | ({"tools": body["tools"]} if body.get("tools") else {}) | {"extra_body": rest}


def _check(body: dict[str, Any]) -> None:
    messages = body.get("messages")
    if not _objects(messages) or not messages:
        raise InvalidRequest("'messages' must be a non-empty array of objects.", param="messages")
    for index, message in enumerate(messages):
        content = message.get("content")
        if not (content is None or isinstance(content, str) or _objects(content)):
            where = f"messages[{index}].content"
            raise InvalidRequest(f"'{where}' must be a string, null or an array of objects.", param=where)
    if body.get("tools") is not None and not _objects(body["tools"]):
        raise InvalidRequest("'tools' must be an array of objects.", param="tools")


def _objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(x, dict) for x in value)


def completion(dumped: dict[str, Any]) -> dict[str, Any]:
    """A dumped ModelResponse as the chat.completion that OpenAI's spec describes."""
    out = {k: v for k, v in dumped.items() if v is not None and k not in _ADDED}
    out["choices"] = [
        {
            "index": choice.get("index", 0),
            "message": _message(choice["message"], required=("role", "content", "refusal")),
            "logprobs": choice.get("logprobs"),
            "finish_reason": choice.get("finish_reason"),
        }
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
        choices = [self._choice(c) for c in dumped.get("choices") or ()]
        chunks = []
        if any(c["delta"] or c["finish_reason"] for c in choices):
            chunks.append(base | {"choices": choices} | ({"usage": None} if self._include_usage else {}))
        if counts and self._include_usage:
            chunks.append(base | {"choices": [], "usage": usage(counts)})
        return chunks

    @staticmethod
    def _choice(choice: dict[str, Any]) -> dict[str, Any]:
        return {
            "index": choice.get("index", 0),
            "delta": _message(choice.get("delta") or {}, required=()),
            "logprobs": choice.get("logprobs"),
            "finish_reason": choice.get("finish_reason"),
        }


def usage(dumped: dict[str, Any]) -> dict[str, Any]:
    """The upstream's own counts; ``prompt_tokens_details.cached_tokens`` is 0 where it gave none."""
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
    """A message or delta. litellm moves fields it has no name for into ``provider_specific_fields``."""
    moved = dumped.get("provider_specific_fields") or {}
    merged = {**moved, **{k: v for k, v in dumped.items() if k not in _ADDED}}
    out = {k: v for k, v in merged.items() if v is not None}
    if "tool_calls" in out:
        out["tool_calls"] = [_tool_call(c) for c in out["tool_calls"]]
    if not out.get("tool_calls"):
        out.pop("tool_calls", None)
    return {**{k: None for k in required if k in _NULLABLE}, **out}


def _tool_call(dumped: dict[str, Any]) -> dict[str, Any]:
    """The first delta of a call has id, type and name; the later ones only what they add."""
    call = {k: v for k, v in dumped.items() if v is not None and k not in _ADDED}
    if isinstance(call.get("function"), dict):
        call["function"] = {k: v for k, v in call["function"].items() if v is not None and k not in _ADDED}
    if "id" not in call and "index" in call:
        call.pop("type", None)
    return call
