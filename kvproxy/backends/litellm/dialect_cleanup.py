"""Clean-up of litellm's answers in the dialects of the Responses API and of Anthropic: its additions undone. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from kvproxy.errors import UpstreamError

_WRAPPED = "resp_"
_ADDED = frozenset({"_hidden_params", "provider_specific_fields"})

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 503,
}
"""Of the errors that come as events, which have none of their own."""


def response(dumped: dict[str, Any]) -> dict[str, Any]:
    """Clean a dumped ResponsesAPIResponse, under the id that the upstream gave it."""
    out = {k: v for k, v in dumped.items() if k not in _ADDED}
    if isinstance(id := out.get("id"), str):
        out["id"] = upstream_id(id)
    if isinstance(counts := out.get("usage"), dict):
        out["usage"] = _counted(counts)
    return out


def upstream_id(id: str) -> str:
    """litellm writes provider and deployment into response ids. The upstream knows only its own."""
    try:
        plain = base64.b64decode(id.removeprefix(_WRAPPED), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return id
    head, found, own = plain.partition("response_id:")
    if not found or not head.startswith("litellm:"):
        return id
    # What was translated from chat completions has another prefix; clients look for this one.
    return own if own.startswith(_WRAPPED) else _WRAPPED + own


class ResponseEvents:
    """One stream. litellm numbers the events that it makes up itself only here and there."""

    def __init__(self) -> None:
        self._last = -1

    def clean(self, dumped: dict[str, Any]) -> list[dict[str, Any]]:
        """Clean one event of a streamed response."""
        event = dict(dumped)
        if isinstance(inner := event.get("response"), dict):
            event["response"] = response(inner)
        number = event.get("sequence_number")
        if not isinstance(number, int) or number <= self._last:
            number = self._last + 1
        self._last = event["sequence_number"] = number
        return [event]


def message(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Clean a whole Anthropic message."""
    out = {k: v for k, v in answer.items() if k not in _ADDED and not (k == "stop_details" and v is None)}
    out["content"] = [_block(block) for block in answer.get("content") or ()]
    return out


def _block(block: object) -> object:
    """Clean a content block: it goes without litellm's nulls: clients' schemas know absent ones, and strings."""
    if not isinstance(block, dict):
        return block
    signed = {"signature": ""} if block.get("type") == "thinking" else {}
    return signed | {k: v for k, v in block.items() if v is not None and k not in _ADDED}


class MessageEvents:
    """One stream of Anthropic's, which litellm hands out as bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def clean(self, data: bytes) -> list[dict[str, Any]]:
        """Return whole events only; the rest waits for more bytes. Raises UpstreamError for an error event."""
        *blocks, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        events = []
        for block in blocks:
            lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
            if not lines:
                continue
            event = json.loads(b"\n".join(lines))
            if event.get("type") == "error":
                raise _error(event)
            if "content_block" in event:
                event["content_block"] = _block(event["content_block"])
            events.append(event)
        return events


def _error(event: dict[str, Any]) -> UpstreamError:
    told = event.get("error")
    error: dict[str, Any] = told if isinstance(told, dict) else {}
    message = error.get("message")
    if not isinstance(message, str) or message.startswith("litellm."):
        # litellm's own words for a stream that broke; they may hold a traceback.
        return UpstreamError("The upstream's stream broke off.", status=502)
    return UpstreamError(message, status=_STATUS.get(str(error.get("type")), 502), error=error)


def _counted(counts: dict[str, Any]) -> dict[str, Any]:
    """Usage without litellm's empty names; both details are required by the spec."""
    out = {k: v for k, v in counts.items() if v is not None}
    cached = out.get("input_tokens_details") or {}
    spent = out.get("output_tokens_details") or {}
    kept = {k: v for k, v in cached.items() if v is not None and k != "text_tokens"}
    said = {k: v for k, v in spent.items() if v is not None and k != "text_tokens"}
    out["input_tokens_details"] = {"cached_tokens": 0, **kept}
    out["output_tokens_details"] = {"reasoning_tokens": 0, **said}
    return out
