"""The messages of a chat completion request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kvproxy.core import Message, Part, Role, TextPart, ToolCall
from kvproxy.errors import InvalidRequest
from kvproxy.wire.chat_body import MessageBody, ToolCallBody
from kvproxy.wire.free_form import arguments_of
from kvproxy.wire.parts import parse_part

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def parse_messages(bodies: Sequence[MessageBody]) -> tuple[Message, ...]:
    """Raises InvalidRequest naming the field. Whether results fit to calls is the composer's to say."""
    messages: list[Message] = []
    called: str | None = None
    for i, body in enumerate(bodies):
        message = _message(body, f"messages[{i}]", i, called)
        if body.function_call is not None:
            called = message.tool_calls[-1].id
        messages.append(message)
    return tuple(messages)


def _message(body: MessageBody, where: str, index: int, called: str | None) -> Message:
    """``called``: id of the latest deprecated function_call, which has none on the wire."""
    parts = _content(body, where)
    if body.role == "assistant":
        calls = [_call(c, f"{where}.tool_calls[{i}]") for i, c in enumerate(body.tool_calls or ())]
        if body.function_call is not None:
            call = body.function_call
            calls.append(ToolCall(f"call_of_message_{index}", call.name, call.arguments))
        reasoning = body.reasoning_content if body.reasoning_content is not None else body.reasoning
        if not parts and not calls:
            parts = (TextPart(body.refusal or ""),)
        return Message("assistant", parts, tuple(calls), reasoning=reasoning)
    if not parts:
        raise InvalidRequest(
            f"Invalid '{where}.content': a {body.role} message needs a string or content parts.",
            param=f"{where}.content",
        )
    if _ROLES[body.role] == "tool":
        return Message("tool", parts, tool_call_id=_answered(body, where, called))
    return Message(_ROLES[body.role], parts)


def _content(body: MessageBody, where: str) -> tuple[Part, ...]:
    parts = [parse_part(p, body.role, f"{where}.content[{i}]") for i, p in enumerate(body.content)]
    if parts and body.cache_control is not None:
        parts[-1] = replace(parts[-1], mark=True)
    return tuple(parts)


def _call(call: ToolCallBody, where: str) -> ToolCall:
    if call.custom is not None:
        return ToolCall(call.id, call.custom.name, arguments_of(call.custom.input))
    if call.function is None:
        raise InvalidRequest(f"Missing required parameter: '{where}.function'.", param=f"{where}.function")
    return ToolCall(call.id, call.function.name, call.function.arguments)


def _answered(body: MessageBody, where: str, called: str | None) -> str:
    if body.role == "tool":
        if body.tool_call_id is None:
            raise InvalidRequest(
                f"Missing required parameter: '{where}.tool_call_id'.", param=f"{where}.tool_call_id"
            )
        return body.tool_call_id
    if called is None:
        raise InvalidRequest(
            f"Invalid '{where}': messages with role 'function' must be a response to a preceding message with "
            "'function_call'.",
            param=where,
        )
    return called
