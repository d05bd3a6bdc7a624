"""A running proxy, asked over HTTP without blocking the event loop. A cancelled request ends at the proxy too."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from kvproxy.client import RequestFailed, document_path, error_message, refusal, unreachable
from kvproxy.mcp_server.chat_answer import ChatAnswer, read_answer
from kvproxy.mcp_server.event_stream import Record, records

PublishProgress = Callable[[int, int], Awaitable[None]]
ChatProgress = Callable[[int], Awaitable[None]]

_STREAM = {"accept": "text/event-stream"}


class Remote:
    """The proxy at ``base_url``, with or without ``/v1``. Use it in an ``async with``; every call raises
    RequestFailed."""

    def __init__(
        self, base_url: str, api_key: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.root = base_url.rstrip("/").removesuffix("/v1")
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        headers["user-agent"] = "kvproxy-mcp"
        # No read timeout: a prefill may take minutes, and the proxy's comments keep coming anyway.
        timeout = httpx.Timeout(10.0, read=None, pool=None)
        self._http = httpx.AsyncClient(
            base_url=self.root, headers=headers, timeout=timeout, transport=transport, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def publish(self, body: dict[str, Any], progress: PublishProgress) -> dict[str, Any]:
        """Return the result of publishing: ``info``, ``created`` and ``prefill_s``; ``progress`` counts tokens."""
        async with self._streaming("/kv/v1/documents", body) as (_, events):
            async for record in events:
                if record.name == "result":
                    result: dict[str, Any] = record.value
                    return result
                if record.name == "error":
                    raise RequestFailed(error_message(record.value) or "the proxy failed")
                if record.name == "progress":
                    await progress(int(record.value["done"]), int(record.value["total"]))
        raise RequestFailed("the proxy ended the publish without a result; look at its log and publish again")

    async def chat(self, body: dict[str, Any], progress: ChatProgress) -> ChatAnswer:
        """Return the answer to a chat completion. ``progress`` is called while it waits, with the number of pieces so
        far."""
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        began = time.perf_counter()
        async with self._streaming("/v1/chat/completions", body) as (response, events):
            return await read_answer(began, response.headers.get("cache-status", ""), events, progress)

    async def documents(self) -> list[dict[str, Any]]:
        """Return the summaries of all documents that this key may read."""
        data: list[dict[str, Any]] = (await self._json("GET", "/kv/v1/documents"))["data"]
        return data

    async def document(self, ref: str, *, text: bool = False) -> dict[str, Any]:
        """Return the summary of one document. Raises RequestFailed."""
        return await self._json("GET", document_path(ref), params={"text": "true"} if text else {})

    async def delete(self, ref: str) -> None:
        """Delete a document, or one version of it. Raises RequestFailed."""
        await self._json("DELETE", document_path(ref))

    async def recent(self, last: int) -> list[dict[str, Any]]:
        """Return the newest requests of this API key that have ended, the oldest first."""
        listed = await self._json("GET", "/kv/v1/requests", params={"last": str(last)})
        data: list[dict[str, Any]] = listed["data"]
        return data

    async def catalog(self, search: Mapping[str, str | None], limit: int) -> dict[str, Any]:
        """Return a page of the catalog: ``data`` and ``next``. Raises RequestFailed."""
        params = {name: value for name, value in search.items() if value is not None}
        return await self._json("GET", "/kv/v1/catalog", params={**params, "limit": str(limit)})

    async def quote(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a signed quote. Raises RequestFailed."""
        return await self._json("POST", "/kv/v1/quote", body=body)

    async def explain(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return why a request would miss, beside the nearest document or earlier request. Raises RequestFailed."""
        return await self._json("POST", "/kv/v1/explain", body=body)

    async def count_tokens(self, body: dict[str, Any]) -> int:
        """Return the tokens of a request as the local model would get them."""
        return int((await self._json("POST", "/tokenize", body=body))["count"])

    async def local_model(self) -> str:
        """Return the name of the proxy's own model."""
        models: list[dict[str, Any]] = (await self._json("GET", "/v1/models"))["data"]
        for entry in models:
            if entry.get("owned_by") == "kvproxy":
                return str(entry["id"])
        names = ", ".join(str(entry["id"]) for entry in models)
        raise RequestFailed(
            f"{self.root} has no model of its own; name one of {names}"
            if names
            else f"{self.root} serves no model"
        )

    @asynccontextmanager
    async def _streaming(
        self, path: str, body: dict[str, Any]
    ) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[Record]]]:
        try:
            async with self._http.stream("POST", path, json=body, headers=_STREAM) as response:
                if response.is_error:
                    await response.aread()
                    raise refusal(response)
                yield response, records(response.aiter_bytes())
        except httpx.HTTPError as e:
            raise unreachable(self.root, e) from e

    async def _json(
        self, method: str, path: str, *, params: dict[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, params=params, json=body)
        except httpx.HTTPError as e:
            raise unreachable(self.root, e) from e
        if response.is_error:
            raise refusal(response)
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise RequestFailed(f"{self.root} answered, but not as a kvproxy does")
        return answer
