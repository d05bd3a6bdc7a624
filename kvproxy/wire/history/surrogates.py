"""Repair of texts cut within a character: half a surrogate pair, which JSON can carry and UTF-8 cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kvproxy.core import Message, Part, TextPart, ToolCall


def mend_surrogates(
    messages: Sequence[Message], places: Sequence[str], question: str | None
) -> list[Message]:
    """Return the same messages with U+FFFD for each half: a tool's cut output must not end a conversation.

    ``places``: the path of each message. The one at ``question`` stays as it is, and is refused where it is broken.

    Example: ``mend_surrogates(messages, ["messages[0]", "messages[1]"], "messages[1]")``.
    """
    return [
        message if place == question else _message(message)
        for message, place in zip(messages, places, strict=True)
    ]


def whole_text(text: str) -> str:
    """Return a text with pairs of surrogates joined, and U+FFFD for each half without its other one."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _message(message: Message) -> Message:
    content = tuple(_part(part) for part in message.content)
    calls = tuple(_call(call) for call in message.tool_calls)
    reasoning = None if message.reasoning is None else whole_text(message.reasoning)
    if (content, calls, reasoning) == (message.content, message.tool_calls, message.reasoning):
        return message
    return replace(message, content=content, tool_calls=calls, reasoning=reasoning)


def _part(part: Part) -> Part:
    return replace(part, text=whole_text(part.text)) if isinstance(part, TextPart) else part


def _call(call: ToolCall) -> ToolCall:
    return ToolCall(call.id, whole_text(call.name), whole_text(call.arguments))
