"""A tenant with the stock openai client, and the parts of an answer that it sees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from openai import OpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

MODEL = "smol"
TIMEOUT_S = 120.0
_STATUS = re.compile(r'kvproxy; (hit|fwd=\S+?)(; collapsed)?(?:; key="([^"]*)")?(?:; detail="([^"]*)")?')


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    finish_reason: str
    usage: CompletionUsage
    outcome: str
    """``hit``, ``fwd=miss`` or ``fwd=bypass``."""
    collapsed: bool
    key: str | None
    """The document that Cache-Status names."""
    detail: str
    """Of Cache-Status, without the cause of a miss."""
    cause: str
    timing_ms: dict[str, float]
    chunks: tuple[ChatCompletionChunk, ...] = ()

    @property
    def cached(self) -> int:
        details = self.usage.prompt_tokens_details
        assert details is not None and details.cached_tokens is not None, "cached_tokens must always be there"
        return details.cached_tokens


class Reader:
    """Greedy unless told otherwise. Nothing is retried: a retry would hide a failure."""

    def __init__(self, url: str, key: str, client: OpenAI, http: httpx.Client) -> None:
        self.url, self.key, self.client, self.http = url, key, client, http

    def ask(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        stream: bool = False,
        max_tokens: int = 12,
        model: str = MODEL,
        **fields: Any,
    ) -> Answer:
        create: Any = self.client.chat.completions.with_raw_response.create
        body = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": 0, **fields}
        if stream:
            raw = create(**body, stream=True, stream_options={"include_usage": True})
            with raw.parse() as chunks:
                return _streamed(raw.headers, tuple(chunks))
        raw = create(**body)
        completion = raw.parse()
        [choice] = completion.choices
        return _answer(raw.headers, choice.message.content, choice.finish_reason, completion.usage)

    def publish(self, id: str, text: str, visibility: str | None = None) -> dict[str, Any]:
        """The body of a publish that made a new version."""
        body = {"id": id, "text": text} | ({"visibility": visibility} if visibility else {})
        response = self.http.post("/kv/v1/documents", json=body)
        assert response.status_code == 201, response.text
        result: dict[str, Any] = response.json()
        return result

    def documents(self) -> list[str]:
        data = self.http.get("/kv/v1/documents").raise_for_status().json()["data"]
        return [f"{d['id']}@{d['version']}" for d in data]


@contextmanager
def reader(url: str, key: str = "none-needed-here") -> Iterator[Reader]:
    timeout = httpx.Timeout(TIMEOUT_S)
    headers = {"authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False) as http,
        httpx.Client(timeout=timeout, trust_env=False) as inner,
        OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, http_client=inner) as client,
    ):
        yield Reader(url, key, client, http)


def _streamed(headers: httpx.Headers, chunks: tuple[ChatCompletionChunk, ...]) -> Answer:
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    [reason] = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    return _answer(headers, text, reason, chunks[-1].usage, chunks)


def _answer(
    headers: httpx.Headers,
    text: str | None,
    reason: str,
    usage: CompletionUsage | None,
    chunks: tuple[ChatCompletionChunk, ...] = (),
) -> Answer:
    assert usage is not None
    status = _STATUS.fullmatch(headers["cache-status"])
    assert status is not None, headers["cache-status"]
    detail, _, cause = (status[4] or "").partition("; cause=")
    parts = (x.split(";dur=") for x in headers.get("server-timing", "").split(", ") if x)
    return Answer(
        text=text or "",
        finish_reason=reason,
        usage=usage,
        outcome=status[1],
        collapsed=status[2] is not None,
        key=status[3],
        detail=detail,
        cause=cause,
        timing_ms={name: float(duration) for name, duration in parts},
        chunks=chunks,
    )
