"""Parts of a chat completion's payload: the reasoning that is sent back, and the fields that make the prompt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool


def add_reasoning(payload: dict[str, Any], messages: Sequence[BaseMessage]) -> None:
    """Put the model's earlier reasoning into the payload's messages: the prefix would differ without it."""
    for message, sent in zip(messages, payload["messages"], strict=True):
        reasoning = message.additional_kwargs.get("reasoning_content")
        if isinstance(message, AIMessage) and isinstance(reasoning, str):
            sent["reasoning_content"] = reasoning


def prompt_body(payload: dict[str, Any], tools: Sequence[Any] | None) -> dict[str, Any]:
    """Return the body of `/tokenize` for a payload; ``tools`` replace the payload's own."""
    body: dict[str, Any] = {
        name: payload[name] for name in ("messages", "tool_choice", "tools") if name in payload
    }
    extra = payload.get("extra_body") or {}
    if "chat_template_kwargs" in extra:
        body["chat_template_kwargs"] = extra["chat_template_kwargs"]
    if tools:
        body["tools"] = [convert_to_openai_tool(tool) for tool in tools]
    return body
