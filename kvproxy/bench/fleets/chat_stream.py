"""`ask_streamed`: one streamed chat request, its times, and what the server says was cached."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp

from kvproxy.bench.fleets.reading_trace import ReadingStep
from kvproxy.bench.load import WrongAnswer

_EVENT = b"data: {"


@dataclass(frozen=True, slots=True)
class ChatTarget:
    """A server of OpenAI's API, and what each request to it carries besides its messages."""

    name: str
    url: str
    """Base URL, without ``/v1``."""
    model: str
    key: str = "none"
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """Times in seconds as the client saw them, and the usage that the server reports."""

    target: str
    first_s: float
    """Until the first text, or the end where there was none."""
    total_s: float
    prompt_tokens: int
    cached_tokens: int
    text: str
    cache_status: str


async def ask_streamed(
    http: aiohttp.ClientSession,
    target: ChatTarget,
    messages: Sequence[dict[str, Any]],
    *,
    max_tokens: int,
    session: str | None = None,
) -> StreamedAnswer:
    """Ask, greedily. ``session`` becomes ``x-session-id``. Raises WrongAnswer.

    Example: ``await ask_streamed(http, target, [{"role": "user", "content": "Hi"}], max_tokens=4)``
    """
    body = {"model": target.model, "messages": list(messages), "max_tokens": max_tokens, "temperature": 0}
    body |= {"stream": True, "stream_options": {"include_usage": True}, **target.fields}
    headers = {"Authorization": f"Bearer {target.key}"} | (
        {} if session is None else {"x-session-id": session}
    )
    began = time.perf_counter()
    read = _Read()
    try:
        async with http.post(f"{target.url}/v1/chat/completions", json=body, headers=headers) as answer:
            if answer.status != HTTPStatus.OK:
                told = (await answer.text())[:300]
                raise WrongAnswer(f"{target.name} answered with status {answer.status}: {told}")
            async for line in answer.content:
                if line.startswith(_EVENT):
                    read.take(json.loads(line[len(b"data: ") :]), target.name)
            status = answer.headers.get("Cache-Status", "")
    except (aiohttp.ClientError, TimeoutError) as e:
        raise WrongAnswer(f"{target.name} did not answer: {e or type(e).__name__}") from e
    ended = time.perf_counter()
    if read.usage is None:
        raise WrongAnswer(f"{target.name}'s stream ended without usage")
    cached = (read.usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    times = ((ended if read.first is None else read.first) - began, ended - began)
    return StreamedAnswer(target.name, *times, read.usage["prompt_tokens"], cached, read.text, status)


@dataclass(slots=True)
class _Read:
    """An answer's events so far."""

    text: str = ""
    first: float | None = None
    """The clock when the first text came."""
    usage: dict[str, Any] | None = None

    def take(self, event: dict[str, Any], target: str) -> None:
        if "error" in event:
            raise WrongAnswer(f"{target} broke off: {str(event['error'])[:300]}")
        choices: list[dict[str, Any]] = event.get("choices") or [{}]
        piece = (choices[0].get("delta") or {}).get("content") or ""
        if piece and self.first is None:
            self.first = time.perf_counter()
        self.text += piece
        self.usage = event.get("usage") or self.usage


async def replay(
    steps: Sequence[ReadingStep], at_once: int, ask: Callable[[ReadingStep], Awaitable[StreamedAnswer]]
) -> list[StreamedAnswer]:
    """Ask for every step, begun in this order, ``at_once`` open at any time. Returns the answers in the order of the
    steps. Raises WrongAnswer, of the first that fails.

    Example: ``await replay(trace.steps, 4, ask)``
    """
    answers: dict[int, StreamedAnswer] = {}
    left = iter(enumerate(steps))

    async def client() -> None:
        for number, step in left:
            answers[number] = await ask(step)

    try:
        async with asyncio.TaskGroup() as clients:
            for _ in range(at_once):
                clients.create_task(client())
    except ExceptionGroup as e:
        raise e.exceptions[0] from None
    return [answers[number] for number in range(len(steps))]
