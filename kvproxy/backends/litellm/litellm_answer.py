"""Translation of litellm's answers, for each endpoint, to the client's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvproxy.backends.base import Endpoint
from kvproxy.backends.litellm.dialect_cleanup import MessageEvents, ResponseEvents, message, response
from kvproxy.backends.litellm.openai_cleanup import (
    ChunkCleaner,
    TextChunkCleaner,
    completion,
    embeddings,
    text_completion,
)


def answer_of(endpoint: Endpoint, answer: Any) -> dict[str, Any]:
    """Translate a whole answer: one of litellm's models, for messages a dictionary."""
    match endpoint:
        case "chat/completions":
            return completion(answer.model_dump())
        case "completions":
            return text_completion(answer.model_dump())
        case "embeddings":
            return embeddings(answer.model_dump())
        case "responses":
            return response(answer.model_dump(mode="json", exclude_unset=True))
        case "messages":
            return message(answer)


def event_cleaner(endpoint: Endpoint, *, include_usage: bool) -> Callable[[Any], list[dict[str, Any]]]:
    """Translate the chunks of one litellm stream to the client's events."""
    if endpoint == "messages":
        return MessageEvents().clean
    if endpoint == "responses":
        numbered = ResponseEvents()
        return lambda event: numbered.clean(event.model_dump(mode="json", exclude_unset=True))
    kind = TextChunkCleaner if endpoint == "completions" else ChunkCleaner
    cleaner = kind(include_usage=include_usage)
    return lambda chunk: cleaner.clean(chunk.model_dump(exclude_unset=True))
