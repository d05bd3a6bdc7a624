"""`KVProxyClient`: the proxy's management API over HTTP, sync and async."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from langchain_kvproxy import _protocol
from langchain_kvproxy._errors import DocumentUnknown, KVProxyError, ProxyRefused, ProxyUnreachable
from langchain_kvproxy._protocol import Progress
from langchain_kvproxy._remembered import ExplainCalls

__all__ = ["DocumentUnknown", "KVProxyClient", "KVProxyError", "Progress", "ProxyRefused", "ProxyUnreachable"]


class KVProxyClient(ExplainCalls):
    """Client of a proxy's documents and its tokenizer.

    Every method has an async twin: its name with an `a` before it. One client may be used from any number of
    threads and event loops: it keeps no connection of a loop.

    Setup:
        Start a proxy with `kvproxy serve`. `KVPROXY_BASE_URL` and `KVPROXY_API_KEY` are read where no argument
        is given.

    Instantiate:
        ```python
        from langchain_kvproxy import KVProxyClient

        client = KVProxyClient(base_url="http://127.0.0.1:8321")
        ```

    Publish, and read the documents' metadata:
        ```python
        client.publish("handbook", "Employees have thirty days of leave a year")
        info = client.document("handbook")
        print(info["version"], info["tokens"], [d["id"] for d in client.documents()])
        ```

    Count tokens:
        ```python
        client.count_tokens("How many tokens are this?")
        ```
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 10.0,
        *,
        transport: httpx.MockTransport | None = None,
    ) -> None:
        """Open a client; no request is made.

        Args:
            base_url: The proxy's root, with or without `/v1`.
            api_key: For proxies that ask for one.
            timeout: In seconds, for each answer; a publish may take any time between its events' keepalives.
            transport: For tests.

        Example:
            `KVProxyClient("http://127.0.0.1:8321", "my-key", timeout=5.0)`
        """
        self.root = _protocol.root_of(base_url)
        self._transport = transport
        self._timeout = httpx.Timeout(timeout)
        self._publish_timeout = httpx.Timeout(timeout, read=None)
        self._headers = {"authorization": f"Bearer {_protocol.api_key_of(api_key)}"}
        self._verify = httpx.create_ssl_context()
        try:
            self._http = httpx.Client(**self._options(), transport=transport)
        except httpx.InvalidURL as e:
            raise _protocol.unreachable(e, self.root) from e

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; async calls keep none."""
        self._http.close()

    def documents(self) -> list[dict[str, Any]]:
        """List all documents that this key may read, each with `id`, `version`, `etag`, `tokens`, and more."""
        return _protocol.field(self._json("GET", "/kv/v1/documents"), "data", list, self.root)

    async def adocuments(self) -> list[dict[str, Any]]:
        """Do the same as `documents`, asynchronously."""
        return _protocol.field(await self._ajson("GET", "/kv/v1/documents"), "data", list, self.root)

    def document(self, ref: str, *, text: bool = False) -> dict[str, Any]:
        """Return the metadata of `handbook` or `handbook@3`; `etag` is the text's sha256.

        Args:
            ref: An id, for its current version, or an id with `@` and a version.
            text: Whether the document's text is returned too, as `text`.

        Raises:
            DocumentUnknown: No document has this name, or none that this key may read.
        """
        return self._json("GET", _protocol.document_path(ref), params={"text": "true"} if text else None)

    async def adocument(self, ref: str, *, text: bool = False) -> dict[str, Any]:
        """Do the same as `document`, asynchronously."""
        return await self._ajson(
            "GET", _protocol.document_path(ref), params={"text": "true"} if text else None
        )

    def publish(
        self, id: str, text: str, *, visibility: str | None = None, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Publish a text and wait until its pages are kept.

        Args:
            id: The document's name, without a version.
            text: A new text becomes the next version; the same text changes nothing.
            visibility: `public`, `granted` or `private`; the proxy's own default where left out.
            progress: Called with `(tokens done, tokens to do)`.

        Returns:
            `info` as of `document`, `created` (false when this text was the current version) and `prefill_s`,
            the seconds of the prefill.

        Raises:
            ProxyRefused: The proxy answered with an error.
            ProxyUnreachable: No proxy answered, or the connection broke.

        Example:
            ```python
            from langchain_kvproxy import KVProxyClient

            with KVProxyClient() as client:
                client.publish("handbook", "Leave is 30 days", visibility="private")
            ```
        """
        events = _protocol.PublishEvents(progress)
        try:
            with self._http.stream(**self._publish_request(id, text, visibility)) as response:
                if response.is_error:
                    response.read()
                    raise _protocol.refusal(response, self.root)
                for chunk in response.iter_bytes():
                    events.feed(chunk)
        except httpx.HTTPError as e:
            raise _protocol.unreachable(e, self.root) from e
        return events.finished()

    async def apublish(
        self, id: str, text: str, *, visibility: str | None = None, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Do the same as `publish`, asynchronously.

        Example:
            ```python
            from langchain_kvproxy import KVProxyClient

            with KVProxyClient() as client:
                await client.apublish("handbook", "Leave is 30 days", visibility="private")
            ```
        """
        events = _protocol.PublishEvents(progress)
        try:
            async with (
                httpx.AsyncClient(**self._options(), transport=self._transport) as http,
                http.stream(**self._publish_request(id, text, visibility)) as response,
            ):
                if response.is_error:
                    await response.aread()
                    raise _protocol.refusal(response, self.root)
                async for chunk in response.aiter_bytes():
                    events.feed(chunk)
        except httpx.HTTPError as e:
            raise _protocol.unreachable(e, self.root) from e
        return events.finished()

    def delete(self, ref: str) -> None:
        """Delete a document, or with `handbook@3` one version of it.

        Raises:
            DocumentUnknown: No document has this name, or none that this key may read.
        """
        self._json("DELETE", _protocol.document_path(ref))

    async def adelete(self, ref: str) -> None:
        """Do the same as `delete`, asynchronously."""
        await self._ajson("DELETE", _protocol.document_path(ref))

    def tokenize(self, text: str) -> list[int]:
        """Return the token ids that the proxy's local model has for a text."""
        answer = self._json("POST", "/tokenize", json={"prompt": text})
        return _protocol.field(answer, "tokens", list, self.root)

    async def atokenize(self, text: str) -> list[int]:
        """Do the same as `tokenize`, asynchronously."""
        answer = await self._ajson("POST", "/tokenize", json={"prompt": text})
        return _protocol.field(answer, "tokens", list, self.root)

    def count_tokens(self, text: str) -> int:
        """Count the tokens that the proxy's local model has for a text."""
        return len(self.tokenize(text))

    async def acount_tokens(self, text: str) -> int:
        """Do the same as `count_tokens`, asynchronously."""
        return len(await self.atokenize(text))

    def tokenize_messages(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **extra: Any,
    ) -> list[int]:
        """Return the token ids of a whole prompt: chat template, documents, tools.

        Args:
            messages: In OpenAI's format; parts may name documents.
            tools: In OpenAI's format.
            extra: More fields of the chat completion that change the prompt, such as `tool_choice`.

        Example:
            ```python
            from langchain_kvproxy import KVProxyClient

            with KVProxyClient() as client:
                client.tokenize_messages([{"role": "user", "content": "Hello"}], tools=[], tool_choice="none")
            ```
        """
        answer = self._json("POST", "/tokenize", json=_prompt(messages, tools, extra))
        return _protocol.field(answer, "tokens", list, self.root)

    async def atokenize_messages(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **extra: Any,
    ) -> list[int]:
        """Do the same as `tokenize_messages`, asynchronously.

        Example: `await client.atokenize_messages([{"role": "user", "content": "Hello"}], tools=[])`
        """
        answer = await self._ajson("POST", "/tokenize", json=_prompt(messages, tools, extra))
        return _protocol.field(answer, "tokens", list, self.root)

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as e:
            raise _protocol.unreachable(e, self.root) from e
        return _protocol.answered(response, self.root)

    async def _ajson(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Request JSON over a connection that ends with the call, so that none outlives its event loop."""
        try:
            async with httpx.AsyncClient(**self._options(), transport=self._transport) as http:
                response = await http.request(method, path, **options)
        except httpx.HTTPError as e:
            raise _protocol.unreachable(e, self.root) from e
        return _protocol.answered(response, self.root)

    def _options(self) -> dict[str, Any]:
        """Return the settings of the HTTP clients; `http_proxy` and the like are ignored, since the proxy is near."""
        return {
            "base_url": self.root,
            "headers": self._headers,
            "timeout": self._timeout,
            "verify": self._verify,
            "trust_env": False,
        }

    def _publish_request(self, id: str, text: str, visibility: str | None) -> dict[str, Any]:
        return {
            "method": "POST",
            "url": "/kv/v1/documents",
            "json": _protocol.publish_body(id, text, visibility),
            "headers": {"accept": "text/event-stream"},
            "timeout": self._publish_timeout,
        }


def _prompt(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None, extra: Mapping[str, Any]
) -> dict[str, Any]:
    return _protocol.tokenize_body(
        [dict(m) for m in messages], [dict(t) for t in tools] if tools else None, dict(extra)
    )
