"""The messages of a chat completion request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kvproxy.core import Message, Part, Role, TextPart, ToolCall
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.chat.chat_body import ChatMessageBody, ToolCallBody, UnreadCall
from kvproxy.wire.chat.content_parts import parse_part
from kvproxy.wire.history.arguments import NAMELESS
from kvproxy.wire.history.notes import record_note
from kvproxy.wire.history.open_question import open_question
from kvproxy.wire.history.pairing import pair_results
from kvproxy.wire.history.surrogates import mend_surrogates
from kvproxy.wire.tools.free_form import arguments_of

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def parse_messages(bodies: Sequence[ChatMessageBody], reading: RequestReading) -> tuple[Message, ...]:
    """Parse the messages. ``reading`` records the parts that the model is not shown (modified).

    Raises InvalidRequest naming the field.
    """
    question = open_question([_ROLES[body.role] for body in bodies])
    messages: list[Message] = []
    called: str | None = None
    for i, body in enumerate(bodies):
        message = _message(body, i, called, reading, is_question=i == question)
        if body.function_call is not None and message.tool_calls:
            called = message.tool_calls[-1].id
        messages.append(message)
    places = [f"messages[{i}]" for i in range(len(bodies))]
    whole = mend_surrogates(messages, places, None if question is None else places[question])
    return pair_results(whole, places, reading)


def _message(
    body: ChatMessageBody, index: int, called: str | None, reading: RequestReading, *, is_question: bool
) -> Message:
    """Parse one message. ``called``: id of the latest deprecated function_call, which has none on the wire."""
    where = f"messages[{index}]"
    if is_question and "content" not in body.model_fields_set:
        raise InvalidRequest(f"Missing required parameter: '{where}.content'.", param=f"{where}.content")
    parts = _content(body, where, reading, is_question=is_question)
    if body.role == "assistant":
        return _answer(body, index, parts, reading)
    role = _ROLES[body.role]
    id = (body.tool_call_id if body.role == "tool" else called) or "" if role == "tool" else None
    return Message(role, tuple(parts) or (TextPart(""),), tool_call_id=id)


def _answer(body: ChatMessageBody, index: int, parts: list[Part], reading: RequestReading) -> Message:
    where = f"messages[{index}]"
    calls: list[ToolCall] = []
    for i, call in enumerate(body.tool_calls or ()):
        at = f"{where}.tool_calls[{i}]"
        if isinstance(call, UnreadCall):
            parts += _note(call.raw, at, reading)
        else:
            calls.append(_call(call))
    if body.function_call is not None:
        function = body.function_call
        calls.append(ToolCall(f"call_of_message_{index}", function.name or NAMELESS, function.arguments))
    if body.audio:
        audio = body.audio if isinstance(body.audio, dict) else {}
        parts += _note({**audio, "type": "audio"}, f"{where}.audio", reading)
    if not parts and not calls:
        parts.append(TextPart(body.refusal or ""))
    reasoning = body.reasoning_content if body.reasoning_content is not None else body.reasoning
    return Message("assistant", tuple(parts), tuple(calls), reasoning=reasoning)


def _content(body: ChatMessageBody, where: str, reading: RequestReading, *, is_question: bool) -> list[Part]:
    parts = [
        part
        for i, p in enumerate(body.content)
        if (part := parse_part(p, body.role, f"{where}.content[{i}]", reading, is_question=is_question))
        is not None
    ]
    if parts and body.cache_control is not None:
        parts[-1] = replace(parts[-1], mark=True)
    return parts


def _note(raw: dict[str, Any], where: str, reading: RequestReading) -> list[Part]:
    """Return a note for an unreadable item. Raises UnsupportedParameter where the policy is to refuse it."""
    if reading.policy.unreadable_history == "refuse":
        raise UnsupportedParameter(
            f"Unsupported parameter: '{where}' is not supported by the local model. Leave it out.",
            param=where,
        )
    text = record_note(raw, where, reading)
    return [TextPart(text)] if text else []


def _call(call: ToolCallBody) -> ToolCall:
    if call.custom is not None:
        return ToolCall(call.id, call.custom.name or NAMELESS, arguments_of(call.custom.input))
    if call.function is None:
        raise TypeError("a call without its function is an UnreadCall")
    return ToolCall(call.id, call.function.name or NAMELESS, call.function.arguments)
