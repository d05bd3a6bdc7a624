"""`DocumentAnswer`: the answer to `Client.ask`, read from a chat completion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DocumentAnswer:
    """The model's answer to `Client.ask`, with what its prompt cost."""

    text: str
    model: str
    """The model that answered."""
    finish_reason: str
    """``stop``, or ``length`` where ``max_tokens`` or the context cut the text."""
    prompt_tokens: int
    cached_tokens: int
    """Tokens of the prompt that were taken from kept KV and not computed."""
    completion_tokens: int
    cache_status: str
    """The ``Cache-Status`` header (RFC 9211): a hit with its document, or a miss with its reason."""


def document_answer(answer: dict[str, Any], cache_status: str) -> DocumentAnswer:
    """Read a chat completion with its ``Cache-Status``.

    Raises LookupError, TypeError, ValueError or AttributeError for a body that is no chat completion.
    """
    choice, usage = answer["choices"][0], answer["usage"]
    details = usage.get("prompt_tokens_details") or {}
    return DocumentAnswer(
        text=choice["message"].get("content") or "",
        model=str(answer["model"]),
        finish_reason=str(choice["finish_reason"]),
        prompt_tokens=int(usage["prompt_tokens"]),
        cached_tokens=int(details.get("cached_tokens") or 0),
        completion_tokens=int(usage["completion_tokens"]),
        cache_status=cache_status,
    )
