"""Helpers for the content parts of messages: unwrap LangChain's blocks, drop empty texts and cache marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage

MARK: Mapping[str, Mapping[str, str]] = {"prompt_cache_breakpoint": {"mode": "explicit"}}
"""The mark on the last content part of a reusable prefix, in OpenAI's own words."""

_Part: TypeAlias = dict[str, Any]


def plain_parts(message: BaseMessage) -> list[_Part]:
    """Return the parts of a message as they are sent, without empty texts."""
    content = [message.content] if isinstance(message.content, str) else message.content
    parts = [{"type": "text", "text": part} if isinstance(part, str) else unwrapped(part) for part in content]
    return [part for part in parts if part != {"type": "text", "text": ""}]


def as_sent(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Remove the wrapping that `content_blocks` puts around references from messages."""
    return [
        message
        if isinstance(message.content, str)
        else message.model_copy(update={"content": [unwrapped(part) for part in message.content]})
        for message in messages
    ]


def unwrapped(part: Any) -> Any:
    """Unwrap a `kv_document` part: LangChain's `content_blocks` wrap each type that they do not know."""
    if not isinstance(part, dict):
        return part
    value = part.get("value")
    ours = (
        part.get("type") == "non_standard" and isinstance(value, dict) and value.get("type") == "kv_document"
    )
    return value if ours else part


def bare(part: _Part) -> _Part:
    """Return a part without its cache marks."""
    return {name: value for name, value in part.items() if name not in MARK}
