"""`KVProxyClient`: a kvproxy's documents and models over HTTP, sync and async.

The packages under integrations/ are installed separately, so each has this file: it is the same in all of them.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import httpx

DEFAULT_BASE_URL = "http://127.0.0.1:8321/v1"
NO_KEY = "none"
"""The key sent to a proxy that asks for none."""

Progress = Callable[[int, int], None]


class KVProxyError(Exception):
    """Base of all errors of this package's own requests; a model's requests raise openai's exceptions."""


class ProxyUnreachable(KVProxyError):
    """No kvproxy answers at the address, or the connection broke."""


class ProxyRefused(KVProxyError):
    """The proxy answered with an error: ``status`` is HTTP's, ``code`` the proxy's own name of it.

    Example: ``ProxyRefused("unknown key", 401, "invalid_api_key")``
    """

    def __init__(self, message: str, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class DocumentUnknown(ProxyRefused):
    """No document has this name, or none that this key may read."""


class KVProxyClient:
    """Client of one proxy's documents. The methods on documents have async twins: their names with an ``a`` before.

    One client may be used from any number of threads and event loops: its twins run in a thread, and one that is
    cancelled ends there by itself. It keeps no connection, so that it need not be closed.

    Example: ``KVProxyClient().publish("handbook", "Leave is 30 days.")["info"]["version"]``
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Make a client; no request is made.

        Args:
            base_url: The proxy, with or without ``/v1``; default: KVPROXY_BASE_URL, else this machine's port 8321.
            api_key: For proxies that ask for one; default: KVPROXY_API_KEY.
            timeout: In seconds, for each answer; a publish may take any time.
            transport: For tests.

        Example: ``KVProxyClient("http://127.0.0.1:8321", "my-key", timeout=5.0)``
        """
        chosen = base_url or os.environ.get("KVPROXY_BASE_URL") or DEFAULT_BASE_URL
        self.root = chosen.rstrip("/").removesuffix("/v1").rstrip("/")
        self.api_key = api_key or os.environ.get("KVPROXY_API_KEY") or NO_KEY
        self._texts: dict[str, tuple[str, str]] = {}
        # The proxy is near: http_proxy and the like are not meant for it, and a new connection for each request is
        # cheap, while a kept one would have to be closed.
        self._http = httpx.Client(
            headers={"authorization": f"Bearer {self.api_key}"},
            timeout=timeout,
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=transport,
            trust_env=False,
        )

    @property
    def base_url(self) -> str:
        """The base URL of the proxy's OpenAI API."""
        return f"{self.root}/v1"

    def publish(
        self, id: str, text: str, *, visibility: str | None = None, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Publish a text and wait until its KV is kept. The same text again changes nothing.

        Args:
            id: The document's name, without a version.
            text: Its text; a new one becomes the next version.
            visibility: ``public``, ``granted`` or ``private``; default: the proxy's own.
            progress: Called with the tokens done and to do.

        Returns: ``info`` (``id``, ``version``, ``tokens`` …), ``created`` and ``prefill_s``, in seconds.

        Raises: KVProxyError.

        Example: ``client.publish("handbook", "Leave is 30 days.", visibility="private")``
        """
        body = {"id": id, "text": text} | ({"visibility": visibility} if visibility else {})
        headers = {"accept": "text/event-stream"}
        waits = httpx.Timeout(self._http.timeout.connect, read=None)
        url = f"{self.root}/kv/v1/documents"
        try:
            with self._http.stream("POST", url, json=body, headers=headers, timeout=waits) as response:
                if response.is_error:
                    response.read()
                    raise self._refused(response.status_code, _json(response))
                return self._published(_events(response.iter_bytes()), progress)
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise self._unreachable(e) from e

    async def apublish(
        self, id: str, text: str, *, visibility: str | None = None, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Do the same as ``publish``, asynchronously.

        Example: ``await client.apublish("handbook", "Leave is 30 days.", visibility="private")``
        """
        return await asyncio.to_thread(self.publish, id, text, visibility=visibility, progress=progress)

    def documents(self) -> list[dict[str, Any]]:
        """List the documents that this key may read. Raises KVProxyError.

        Each has ``id``, ``version``, ``etag``, ``tokens``, and more.
        """
        return self._list("/kv/v1/documents")

    async def adocuments(self) -> list[dict[str, Any]]:
        """Do the same as ``documents``, asynchronously."""
        return await asyncio.to_thread(self.documents)

    def document(self, ref: str, *, text: bool = False) -> dict[str, Any]:
        """Return the metadata of ``handbook`` or ``handbook@3``, with its ``text`` if wanted.

        Raises DocumentUnknown, KVProxyError.
        """
        return self._answer("GET", document_path(ref), {"text": "true"} if text else {})

    async def adocument(self, ref: str, *, text: bool = False) -> dict[str, Any]:
        """Do the same as ``document``, asynchronously."""
        return await asyncio.to_thread(self.document, ref, text=text)

    def text(self, ref: str) -> str:
        """Read a document's text; it is transferred again only when it has changed.

        Raises DocumentUnknown, KVProxyError.
        """
        etag = str(self.document(ref).get("etag") or "")
        known = self._texts.get(ref)
        if known is None or not etag or known[0] != etag:
            found = self.document(ref, text=True)
            known = self._texts[ref] = (str(found.get("etag") or ""), str(found["text"]))
        return known[1]

    async def atext(self, ref: str) -> str:
        """Do the same as ``text``, asynchronously."""
        return await asyncio.to_thread(self.text, ref)

    def delete(self, ref: str) -> None:
        """Delete a document, or with ``handbook@3`` one version of it. Raises DocumentUnknown, KVProxyError."""
        self._answer("DELETE", document_path(ref))

    async def adelete(self, ref: str) -> None:
        """Do the same as ``delete``, asynchronously."""
        await asyncio.to_thread(self.delete, ref)

    def models(self) -> list[dict[str, Any]]:
        """List the served models in OpenAI's format. Raises KVProxyError."""
        return self._list("/v1/models")

    def served_model(self) -> str:
        """Name the proxy's own model. Raises KVProxyError where it serves none, or several of equal standing."""
        models = self.models()
        own = [m["id"] for m in models if m.get("owned_by") == "kvproxy"] or [m["id"] for m in models]
        if len(own) != 1:
            raise KVProxyError(
                f"{self.root} serves {', '.join(map(str, own)) or 'no model'}; name one of them"
            )
        return str(own[0])

    def context_window(self, model: str | None = None) -> int | None:
        """Count the tokens that fit into a prompt and its answer; None for an upstream's model. Raises KVProxyError."""
        for served in self.models():
            if served["id"] == model and isinstance(served.get("max_model_len"), int):
                return int(served["max_model_len"])
        try:
            body = {"prompt": "", **({"model": model} if model else {})}
            length = self._answer("POST", "/tokenize", body=body).get("max_model_len")
        except ProxyRefused:
            return None
        return length if isinstance(length, int) else None

    def _list(self, path: str) -> list[dict[str, Any]]:
        data = self._answer("GET", path).get("data")
        if not isinstance(data, list):
            raise self._other_server()
        return data

    def _answer(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        try:
            response = self._http.request(method, self.root + path, params=query or None, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise self._unreachable(e) from e
        answer = _json(response)
        if response.is_error:
            raise self._refused(response.status_code, answer)
        if not isinstance(answer, dict):
            raise self._other_server()
        return answer

    def _published(
        self, events: Iterable[tuple[str, dict[str, Any]]], progress: Progress | None
    ) -> dict[str, Any]:
        for name, data in events:
            if name == "result":
                return data
            if name == "error":
                raise self._refused(httpx.codes.INTERNAL_SERVER_ERROR, data)
            if name == "progress" and progress is not None:
                progress(int(data["done"]), int(data["total"]))
        raise ProxyUnreachable("the proxy ended the publish without a result; see its log, publish again")

    def _refused(self, status: int, body: Any) -> ProxyRefused:
        error = body.get("error") if isinstance(body, dict) else None
        error = error if isinstance(error, dict) else {}
        message = str(error.get("message") or f"{self.root} answered {status}")
        code = error.get("code") if isinstance(error.get("code"), str) else None
        if status == httpx.codes.UNAUTHORIZED:
            message += " (set KVPROXY_API_KEY, or api_key)"
        unknown = status == httpx.codes.NOT_FOUND and code in (None, "document_not_found")
        return (DocumentUnknown if unknown else ProxyRefused)(message, status, code)

    def _unreachable(self, error: Exception) -> ProxyUnreachable:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ProxyUnreachable(
                f"no kvproxy answers at {self.root}; start one with `kvproxy serve`, or set KVPROXY_BASE_URL "
                "to where it runs"
            )
        return ProxyUnreachable(f"the connection to {self.root} broke: {str(error) or type(error).__name__}")

    def _other_server(self) -> ProxyUnreachable:
        return ProxyUnreachable(f"{self.root} answered, but not as a kvproxy does; is it another server?")


def document_path(ref: str) -> str:
    """Return the URL path of ``handbook`` or ``handbook@3``. Raises ValueError where it would be another document's."""
    if not ref or any(segment in ("", ".", "..") for segment in ref.partition("@")[0].split("/")):
        raise ValueError(f"{ref!r} is no document's id: it has an empty segment, or '.' or '..' for one")
    return "/kv/v1/documents/" + quote(ref, safe="@/")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json() if response.content else {}
    except ValueError:
        return None


def _events(chunks: Iterator[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parse server-sent events to (name, JSON object). Lines end at line feeds only: JSON may hold other separators."""
    rest, name, data = b"", "message", ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in (raw.removesuffix(b"\r").decode("utf-8", "replace") for raw in lines):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data += line[5:].strip()
            elif not line and data:
                yield name, json.loads(data)
                name, data = "message", ""
