"""Anthropic's ``message`` object for a whole answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kvproxy.core import ToolCall
from kvproxy.core.finite_json import loads_finite
from kvproxy.events import FinishReason, Started, Usage
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.answers.cost_bodies import priced
from kvproxy.wire.anthropic.tool_ids import anthropic_id
from kvproxy.wire.anthropic.types import (
    ContentBlock,
    MessageDeltaUsage,
    MessageObject,
    MessageUsage,
    StopReason,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)

_STOP_REASONS: dict[FinishReason, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


@dataclass(frozen=True, slots=True)
class MessageHead:
    """Id and model of an answer. ``show_thinking`` false: thinking blocks come without their text."""

    id: str
    model: str
    show_thinking: bool = True


def message(head: MessageHead, answer: Answer, usage: Usage) -> MessageObject:
    """Return the ``message`` object of a whole answer.

    Example: ``message(MessageHead("msg_1", "qwen"), answer, usage)["content"]``.
    """
    content: list[ContentBlock] = []
    if answer.reasoning:
        content.append(thinking_block(answer.reasoning if head.show_thinking else ""))
    if answer.text.strip() or (answer.text and not answer.calls):
        content.append(text_block(answer.text))
    content += [_called(call) for call in answer.calls]
    return message_object(head, content, message_usage(usage), *stop_of(answer.reason, answer.stopped_by))


def warmed_message(head: MessageHead, usage: Usage) -> MessageObject:
    """Return the answer to a request with ``max_tokens`` 0: the prompt is kept, the content is empty."""
    silent = replace(usage, completion_tokens=0, reasoning_tokens=0)
    return message_object(head, [], message_usage(silent), *stop_of("length", None))


def message_object(
    head: MessageHead,
    content: list[ContentBlock],
    usage: MessageUsage,
    stop_reason: StopReason | None,
    stop_sequence: str | None,
) -> MessageObject:
    """Return a ``message`` object from its parts; both stop fields are None in ``message_start``.

    Example: ``message_object(head, [text_block("Hi")], message_usage(usage), "end_turn", None)``.
    """
    return {
        "id": head.id,
        "type": "message",
        "role": "assistant",
        "model": head.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "stop_details": None,
        "container": None,
        "usage": usage,
    }


def stop_of(reason: FinishReason, stopped_by: str | None) -> tuple[StopReason, str | None]:
    """Return the stop reason, and the stop sequence where one ended the answer."""
    if reason == "stop" and stopped_by is not None:
        return "stop_sequence", stopped_by
    return _STOP_REASONS[reason], None


def delta_usage(usage: Usage) -> MessageDeltaUsage:
    """Return Anthropic's usage: its three input counts are disjoint; OpenAI's total is their sum."""
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    return {
        "input_tokens": max(0, fresh),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": None,
        **priced(usage),
    }


def message_usage(usage: Usage) -> MessageUsage:
    """Return the usage of a whole message.

    Newly kept tokens count as kept for five minutes, Anthropic's default: pages have no set lifetime.
    """
    return {
        **delta_usage(usage),
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0,
        },
        "service_tier": "standard",
        "inference_geo": None,
    }


def start_usage(started: Started, prompt_tokens: int) -> MessageUsage:
    """Return the usage before the first word. The cache counts of an upstream and of a fleet's replica are null: they
    are known at its end."""
    known = started.confirmed and not started.parsed
    cached, written = (started.cached_tokens, started.cache_write_tokens) if known else (0, 0)
    usage = message_usage(Usage(prompt_tokens, 0, cached, written))
    if not known:
        usage["cache_creation_input_tokens"] = usage["cache_read_input_tokens"] = usage["cache_creation"] = (
            None
        )
    return usage


def text_block(text: str) -> TextBlock:
    """Return a text block of an answer."""
    return {"type": "text", "text": text}


def thinking_block(thinking: str) -> ThinkingBlock:
    """Return a thinking block of an answer, without a signature."""
    return {"type": "thinking", "thinking": thinking, "signature": ""}


def tool_block(id: str, name: str, input: dict[str, Any]) -> ToolUseBlock:
    """Return a ``tool_use`` block. Example: ``tool_block("call_1", "find", {"query": "x"})["id"] == "toolu_1"``."""
    return {
        "type": "tool_use",
        "id": anthropic_id(id),
        "name": name,
        "input": input,
        "caller": {"type": "direct"},
    }


def _called(call: ToolCall) -> ContentBlock:
    """Return a call's block; a call without a JSON object as arguments, mostly one that was cut off, becomes text.

    An agent would run it with an empty input otherwise, and its text would be lost.
    """
    try:
        input = loads_finite(call.arguments or "{}")
    except (ValueError, RecursionError):
        input = None
    if isinstance(input, dict):
        return tool_block(call.id, call.name, input)
    return text_block(f"{call.name}({call.arguments})")
