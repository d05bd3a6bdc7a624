"""One server with OpenAI's API, and one streamed request to it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.prompts import body


class Refused(Exception):
    """A server answered with an error, not at all, or with nothing: there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Times in seconds from the request's first byte, as the client saw them. None: the server did not say."""

    text: str
    first_s: float
    """Until the first event with text in it."""
    last_s: float
    """Until the last one."""
    total_s: float
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None

    @property
    def gap_s(self) -> float | None:
        """Mean time from one token to the next; a server may send several tokens in one event."""
        tokens = self.completion_tokens
        return None if tokens is None or tokens < 2 else (self.last_s - self.first_s) / (tokens - 1)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Use :func:`open_endpoint`."""

    http: httpx.AsyncClient
    model: str
    extra: Mapping[str, Any]
    """Sent with every request."""

    async def ask(self, text: str, max_tokens: int, fields: Mapping[str, Any], timeout_s: float) -> Answer:
        """``text`` is the user message. Raises Refused, and TimeoutError after ``timeout_s`` of silence."""
        asked = body(self.model, text, max_tokens, {**self.extra, **fields})
        began = time.perf_counter()
        try:
            async with self.http.stream(
                "POST", "chat/completions", json=asked, timeout=timeout_s
            ) as response:
                if response.status_code != httpx.codes.OK:
                    said = (await response.aread()).decode(errors="replace")
                    raise Refused(f"status {response.status_code}: {said[:300]}")
                return await read(response.aiter_lines(), began)
        except httpx.TimeoutException as e:
            raise TimeoutError(f"silent for {timeout_s:.0f} s") from e
        except httpx.HTTPError as e:
            raise Refused(f"{type(e).__name__}: {e}") from e


@asynccontextmanager
async def open_endpoint(
    base_url: str, *, model: str | None = None, key: str = "none", extra: Mapping[str, Any] | None = None
) -> AsyncIterator[Endpoint]:
    """``base_url`` ends in ``/v1``. Without ``model`` it is the first one that the server lists. Raises Refused."""
    headers = {"Authorization": f"Bearer {key}"}
    # trust_env: a company's HTTP proxy is not meant for a server on this machine. No connection is used twice:
    # llama.cpp closes kept ones without a word, and on loopback a new one costs nothing.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=base_url, headers=headers, limits=limits, trust_env=False) as http:
        if model is None:
            try:
                listed = (await http.get("models")).raise_for_status().json()["data"]
                model = str(listed[0]["id"])
            except (httpx.HTTPError, ValueError, KeyError, IndexError) as e:
                raise Refused(f"{base_url} lists no model ({type(e).__name__}): name one") from e
        yield Endpoint(http, model, extra or {})


async def read(lines: AsyncIterator[str], began: float) -> Answer:
    """``began`` on time.perf_counter's clock. Raises Refused."""
    parts: list[str] = []
    first = last = 0.0
    usage: dict[str, Any] = {}
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            continue
        event = json.loads(data)
        if event.get("error"):
            raise Refused(f"error in the stream: {str(event['error'])[:300]}")
        usage = event.get("usage") or usage
        said = "".join(c["delta"].get("content") or "" for c in event.get("choices") or ())
        if said:
            last = time.perf_counter() - began
            first = first or last
            parts.append(said)
    if not parts:
        raise Refused("the answer has no text")
    details = usage.get("prompt_tokens_details") or {}
    return Answer(
        text="".join(parts),
        first_s=first,
        last_s=last,
        total_s=time.perf_counter() - began,
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        cached_tokens=details.get("cached_tokens"),
    )
