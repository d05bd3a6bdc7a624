"""Wrappers of openai's clients that record the response headers of one structured stream.

openai has no public name for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

Note = Callable[[Mapping[str, str]], None]


class HeaderRecordingClient:
    """A stand-in for an `OpenAI` client's `beta.chat.completions.stream` that passes the headers to ``note``."""

    def __init__(self, client: Any, note: Note) -> None:
        self.stream: Callable[..., AbstractContextManager[_Events]] = _watched(client, note)

    @property
    def beta(self) -> HeaderRecordingClient:
        """Return this client itself, as `chat` and `completions` do."""
        return self

    chat = completions = beta


class AsyncHeaderRecordingClient:
    """A stand-in for an `AsyncOpenAI` client's `beta.chat.completions.stream`, like `HeaderRecordingClient`."""

    def __init__(self, client: Any, note: Note) -> None:
        self.stream: Callable[..., AbstractAsyncContextManager[_AsyncEvents]] = _watched_async(client, note)

    @property
    def beta(self) -> AsyncHeaderRecordingClient:
        """Return this client itself, as `chat` and `completions` do."""
        return self

    chat = completions = beta


class _Events:
    """Stream events as plain values: they hold the caller's own types, about which pydantic would warn."""

    def __init__(self, events: Any) -> None:
        self._events = events
        self.get_final_completion = events.get_final_completion

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for event in self._events:
            yield event.model_dump(warnings=False)


class _AsyncEvents:
    def __init__(self, events: Any) -> None:
        self._events = events
        self.get_final_completion = events.get_final_completion

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for event in self._events:
            yield event.model_dump(warnings=False)


def _watched(client: Any, note: Note) -> Callable[..., AbstractContextManager[_Events]]:
    @contextmanager
    def stream(**payload: Any) -> Iterator[_Events]:
        with client.beta.chat.completions.stream(**payload) as events:
            _told(events, note)
            yield _Events(events)

    return stream


def _watched_async(client: Any, note: Note) -> Callable[..., AbstractAsyncContextManager[_AsyncEvents]]:
    @asynccontextmanager
    async def stream(**payload: Any) -> AsyncIterator[_AsyncEvents]:
        async with client.beta.chat.completions.stream(**payload) as events:
            _told(events, note)
            yield _AsyncEvents(events)

    return stream


def _told(events: Any, note: Note) -> None:
    """Pass the response's headers to ``note``, from openai's private attribute; without it, pass none."""
    response = getattr(events, "_response", None)
    if response is not None:
        note(response.headers)
