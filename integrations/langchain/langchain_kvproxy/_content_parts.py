"""The content parts of messages, as they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage

MARK: Mapping[str, Mapping[str, str]] = {"prompt_cache_breakpoint": {"mode": "explicit"}}
"""The mark on a content part that says that a reusable prefix ends there, in OpenAI's own words."""

_Part: TypeAlias = dict[str, Any]


def plain_parts(message: BaseMessage) -> list[_Part]:
    """The parts of a message as they are sent, without empty texts."""
    content = [message.content] if isinstance(message.content, str) else message.content
    parts = [{"type": "text", "text": part} if isinstance(part, str) else unwrapped(part) for part in content]
    return [part for part in parts if part != {"type": "text", "text": ""}]


def as_sent(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Messages without the wrapping that `content_blocks` puts around references."""
    return [
        message
        if isinstance(message.content, str)
        else message.model_copy(update={"content": [unwrapped(part) for part in message.content]})
        for message in messages
    ]


def unwrapped(part: Any) -> Any:
    """LangChain's `content_blocks` wrap what they do not know, `kv_document` parts too."""
    if not isinstance(part, dict):
        return part
    value = part.get("value")
    ours = (
        part.get("type") == "non_standard" and isinstance(value, dict) and value.get("type") == "kv_document"
    )
    return value if ours else part


def bare(part: _Part) -> _Part:
    """A part without the marks on it."""
    return {name: value for name, value in part.items() if name not in MARK}
