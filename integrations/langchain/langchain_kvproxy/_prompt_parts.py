"""`PromptPart`: a prompt as a flat list of its content parts, for `explain_prompt`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage, ChatMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from langchain_kvproxy._content_parts import MARK
from langchain_kvproxy.prompts import is_system

PromptLike: TypeAlias = PromptValue | str | Sequence[Any]
"""Messages in any form that LangChain takes, a prompt's value, or a user's text."""


@dataclass(frozen=True, slots=True)
class PromptPart:
    """One content part of one message."""

    message: int
    part: int
    role: str
    text: str | None = None
    """None for a reference, and for a part that is neither text nor reference, as an image."""
    reference: str | None = None
    marked: bool = False
    """Whether the client marked the end of a reusable prefix here."""

    @property
    def place(self) -> tuple[int, int]:
        """Return the indexes of the message and of the part in it."""
        return self.message, self.part

    @property
    def empty(self) -> bool:
        """Return whether the part is a text of white space alone."""
        return self.reference is None and self.text is not None and not self.text.strip()


def as_messages(prompt: PromptLike) -> list[BaseMessage]:
    """Convert any input of a chat model to messages."""
    if isinstance(prompt, PromptValue):
        return prompt.to_messages()
    return convert_to_messages([prompt] if isinstance(prompt, str) else prompt)


def prompt_parts(messages: Sequence[BaseMessage]) -> list[PromptPart]:
    """List all parts of all messages, in order, without empty texts."""
    found = [
        _piece(part, i, j, _role(message))
        for i, message in enumerate(messages)
        for j, part in enumerate(_parts(message))
    ]
    return [piece for piece in found if not piece.empty]


def _parts(message: BaseMessage) -> list[Any]:
    return [message.content] if isinstance(message.content, str) else list(message.content)


def _piece(part: Any, message: int, index: int, role: str) -> PromptPart:
    if isinstance(part, str):
        return PromptPart(message, index, role, part)
    marked = any(name in part for name in (*MARK, "cache_control"))
    if part.get("type") == "kv_document":
        return PromptPart(message, index, role, None, str(part.get("document")), marked)
    text = part.get("text")
    return PromptPart(message, index, role, text if isinstance(text, str) else None, None, marked)


def _role(message: BaseMessage) -> str:
    if is_system(message):
        return "system"
    if isinstance(message, ChatMessage):
        return message.role
    return {"human": "user", "ai": "assistant"}.get(message.type, message.type)
