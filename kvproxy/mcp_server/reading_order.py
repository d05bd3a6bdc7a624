"""Messages with documents in their one order: any order that a model names them in gives the same prompt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}


def canonical(documents: Iterable[str]) -> list[str]:
    """Order references, without repeats, by id and then by version; an id alone stands before its versions."""
    return sorted({reference.strip() for reference in documents}, key=_place)


def with_documents(
    question: str, documents: Iterable[str], instructions: str | None = None
) -> list[dict[str, Any]]:
    """Messages with the documents at the head of the system message, instructions behind them, and the question last:
    the parts that vary least stand first.

    Example: ``with_documents("How many days?", ["handbook"])``
    """
    system: list[dict[str, Any]] = [
        {"type": "kv_document", "document": reference} for reference in canonical(documents)
    ]
    if system:
        system[-1] |= _MARK
    if instructions:
        system.append({"type": "text", "text": instructions})
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": question}]


def named_documents(messages: Iterable[Any]) -> list[str]:
    """Return the references in ``kv_document`` parts, in the order of the prompt, each once."""
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    named = [
        part.get("document") for part in parts if isinstance(part, dict) and part.get("type") == "kv_document"
    ]
    return list(dict.fromkeys(reference for reference in named if isinstance(reference, str)))


def _place(reference: str) -> tuple[str, int, str]:
    id, _, version = reference.partition("@")
    return id, int(version) if version.isascii() and version.isdecimal() else 0, version
