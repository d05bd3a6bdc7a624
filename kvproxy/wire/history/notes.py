"""Notes to the model in the place of unreadable items: images, and items of other providers.

A note depends on the item alone, not on its place or the time: equal history gives equal tokens, and the next turn's
prompt begins with this one's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kvproxy.wire.bodies.declared_type import declared_type
from kvproxy.wire.bodies.request_reading import RequestReading

_MEDIA = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "output_image": "image",
    "computer_screenshot": "image",
    "input_audio": "audio",
    "output_audio": "audio",
    "audio": "audio",
    "audio_url": "audio",
    "video": "video",
    "video_url": "video",
    "input_video": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
}
"""Types of content other than text, and the usual word for them."""

_SILENT = frozenset(
    {
        "redacted_thinking",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "tool_search_call",
        "tool_search_output",
        "tool_search_tool_result",
    }
)
"""Types without content for the conversation: the tools that were found are in the request's ``tools``."""

_ABOUT = ("title", "filename", "transcript", "context")
"""Fields that are text where the rest is none."""

_TEXTS = (
    *("server_label", "server_name", "tool_name", "name", "title", "filename", "url", "source", "query"),
    *("queries", "action", "code", "command", "commands", "input", "arguments", "summary", "text", "content"),
    *(
        "transcript",
        "output",
        "stdout",
        "stderr",
        "logs",
        "outputs",
        "results",
        "sources",
        "error",
        "message",
    ),
    *("error_code", "refusal", "context", "data"),
)
"""Fields with text for a reader, or with parts that have such fields, in the order in which they are shown: not that of
the client's JSON, which may differ from turn to turn."""

_ARGUMENTS = frozenset({"input", "arguments"})
"""Fields that hold names of the tool's own."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_DEEPEST = 16


def record_note(value: Mapping[str, Any], where: str, reading: RequestReading) -> str:
    """Return the note for the item at ``where``, and record the item in ``reading`` (modified).

    Empty: the model needs none. Example: ``record_note({"type": "image"}, "messages[0].content[1]", reading)``.
    """
    if declared_type(value) in _SILENT:
        return ""
    reading.leave_out(where, kind_of(value))
    return note(value)


def note(value: Mapping[str, Any]) -> str:
    """Return a text that stands for a client's object, with as much of it as can be read."""
    kind = kind_of(value)
    if declared_type(value) in _MEDIA:
        data = value.get("source")
        data = data if isinstance(data, Mapping) else value.get("file")
        about = {**data, **value} if isinstance(data, Mapping) else value
        lines = [about[name] for name in _ABOUT if isinstance(about.get(name), str)]
        return "\n".join([f"[{kind} omitted: this model reads text only]", *filter(None, lines)])
    lines = list(_lines(value, 0))
    if not lines:
        return f"[{kind} omitted: this model cannot read it]"
    return "\n".join([f"[{kind}, shown as text]", *lines])


def kind_of(value: Mapping[str, Any]) -> str:
    """Return a word for the kind of ``value``: ``image``, ``web_search_call``.

    It never holds more of a client's text than a type.
    """
    given = value.get("type")
    if not isinstance(given, str) or _NAME.fullmatch(given) is None:
        return "item of an unknown type"
    return _MEDIA.get(given, given)


def _lines(value: object, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        # A data URL is an encoded file, not text.
        if value.strip() and not value.startswith("data:"):
            yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _lines(inner, depth + 1)
    elif isinstance(value, Mapping):
        if depth and declared_type(value) in _MEDIA and not _is_text(value):
            yield note(value)
        else:
            yield from _fields(value, depth)


def _fields(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name in _TEXTS:
        inner = value.get(name)
        if name == "data" and value.get("type") != "text":
            continue
        if name in _ARGUMENTS and isinstance(inner, dict | list):
            yield json.dumps(inner, ensure_ascii=False)
        elif inner is not None:
            yield from _lines(inner, depth + 1)


def _is_text(value: Mapping[str, Any]) -> bool:
    """Return whether a document's source is text, as a fetched page's is."""
    source = value.get("source")
    return isinstance(source, Mapping) and source.get("type") in ("text", "content")
