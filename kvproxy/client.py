"""The management API of a running proxy, seen from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from kvproxy.errors import KVProxyError

Progress = Callable[[int, int], None]

_NO_NAMES = frozenset(("", ".", ".."))
"""Segments that are gone once a path is normalised."""


class RequestFailed(KVProxyError):
    """The proxy refused, or there is none. ``message`` is the proxy's own where it sent one."""


class Client:
    """``base_url`` is the proxy's root, with or without the ``/v1`` that agents use. Use it in a ``with``."""

    def __init__(
        self, base_url: str, api_key: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        root = base_url.rstrip("/").removesuffix("/v1")
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        # No read timeout: a publish may prefill for minutes, and its progress events keep coming anyway.
        timeout = httpx.Timeout(10.0, read=None)
        self._root = root
        # The proxy is ours and near: http_proxy and the like are not meant for it.
        self._http = httpx.Client(
            base_url=root, headers=headers, timeout=timeout, transport=transport, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def publish(
        self,
        document: str,
        text: str,
        *,
        visibility: str | None = None,
        pinned: bool | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Publish and wait until the pages are kept; ``progress(done, total)`` counts tokens.

        Returns the server's result: ``info``, ``created`` and ``prefill_s``. Raises RequestFailed.
        """
        chosen = {"visibility": visibility, "pinned": pinned}
        body = {"id": document, "text": text} | {k: v for k, v in chosen.items() if v is not None}
        result = self._streamed("/kv/v1/documents", body, {}, progress)
        if result is None:
            raise RequestFailed(
                "the proxy ended the publish without a result; look at its log and publish again"
            )
        return result

    def documents(self) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self._json("GET", "/kv/v1/documents")["data"]
        return data

    def document(self, ref: str, *, text: bool = False) -> dict[str, Any]:
        return self._json("GET", document_path(ref), params={"text": "true"} if text else None)

    def delete(self, ref: str) -> None:
        self._json("DELETE", document_path(ref))

    def verify(
        self, ref: str, *, tokens: int | None = None, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Takes as long as a few cold prefills: ``exact``, and ``data`` with one entry per framing and spelling.
        ``tokens`` of the greedy answers are compared. Raises RequestFailed."""
        query = {} if tokens is None else {"tokens": str(tokens)}
        result = self._streamed(document_path(ref) + "/verify", None, query, progress)
        if result is None:
            raise RequestFailed("the proxy ended the verification without a result; look at its log")
        return result

    @property
    def root(self) -> str:
        """The proxy's address without ``/v1``."""
        return self._root

    def served(self, model: str | None = None) -> dict[str, Any]:
        """The entry of ``/v1/models`` for ``model``, or for the local one. Raises RequestFailed for another name."""
        models: list[dict[str, Any]] = self._json("GET", "/v1/models")["data"]
        for entry in models:
            if entry["id"] == model or (model is None and entry.get("owned_by") == "kvproxy"):
                return entry
        names = ", ".join(str(entry["id"]) for entry in models)
        raise RequestFailed(
            f"{self._root} serves {names or 'no model'}" + (f", not {model}" if model else "")
        )

    def requests(self, *, last: int) -> Iterator[dict[str, Any]]:
        """The newest ``last`` requests that have ended, then each as it ends, without an end. An entry that holds
        ``missed`` says how many went by unseen. Raises RequestFailed."""
        headers = {"accept": "text/event-stream"}
        try:
            with self._http.stream(
                "GET", "/kv/v1/requests", params={"last": str(last)}, headers=headers
            ) as response:
                if response.is_error:
                    response.read()
                    raise refusal(response)
                for _, entry in _events(response.iter_raw()):
                    yield entry
        except httpx.HTTPError as e:
            raise self._unreachable(e) from e

    def _streamed(
        self, path: str, body: dict[str, Any] | None, query: dict[str, str], progress: Progress | None
    ) -> dict[str, Any] | None:
        """The ``result`` event; None when the stream ended without one."""
        headers = {"accept": "text/event-stream"}
        try:
            with self._http.stream("POST", path, json=body, params=query, headers=headers) as response:
                if response.is_error:
                    response.read()
                    raise refusal(response)
                for event, data in _events(response.iter_bytes()):
                    if event == "result":
                        return data
                    if event == "error":
                        raise RequestFailed(error_message(data) or "the proxy failed")
                    if event == "progress" and progress is not None:
                        _tell(progress, data)
        except httpx.HTTPError as e:
            raise self._unreachable(e) from e
        return None

    def _json(self, method: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, params=params)
        except httpx.HTTPError as e:
            raise self._unreachable(e) from e
        if response.is_error:
            raise refusal(response)
        try:
            body = response.json() if response.content else {}
        except ValueError as e:
            raise RequestFailed(f"{self._root} answered, but not as a kvproxy does") from e
        if not isinstance(body, dict):
            raise RequestFailed(f"{self._root} answered, but not as a kvproxy does")
        return body

    def _unreachable(self, error: httpx.HTTPError) -> RequestFailed:
        return unreachable(self._root, error)


def unreachable(root: str, error: httpx.HTTPError) -> RequestFailed:
    """The error for a proxy at ``root`` that did not answer, or not to the end."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return RequestFailed(f"no proxy answers at {root}; start one with `kvproxy serve`, or give --url")
    return RequestFailed(f"the connection to {root} broke: {error}")


def document_path(ref: str) -> str:
    """A name that could be taken for a way to another document, as ``a/../b``, travels as one segment: neither httpx
    nor a proxy on the way then makes ``b`` of it."""
    segments = ref.split("/")
    if len(segments) == 1 and ref in _NO_NAMES:
        raise RequestFailed(f"'{ref}' names no document")
    plain = _NO_NAMES.isdisjoint(segments)
    return "/kv/v1/documents/" + quote(ref, safe="@/" if plain else "@")


def refusal(response: httpx.Response) -> RequestFailed:
    """The error that a response which was read stands for, in the proxy's own words where it sent some."""
    try:
        message = error_message(response.json())
    except ValueError:
        message = None
    return RequestFailed(message or f"the proxy answered {response.status_code} {response.reason_phrase}")


def error_message(body: Any) -> str | None:
    """The words of an error body."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else None


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Split at line feeds only: httpx's own splitter also cuts at U+2028, which JSON may contain."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r").decode("utf-8", "replace") for line in whole)


def _events(chunks: Iterator[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as (name, JSON object); comments are skipped."""
    name, data = "message", ""
    for line in _lines(chunks):
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            yield name, _event_object(data)
            name, data = "message", ""


def _tell(progress: Progress, data: dict[str, Any]) -> None:
    done, total = data.get("done"), data.get("total")
    if isinstance(done, int) and isinstance(total, int):
        progress(done, total)


def _event_object(data: str) -> dict[str, Any]:
    """Raises RequestFailed for what no kvproxy sends: something else answers, or changes what passes through it."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RequestFailed(f"an event is no JSON object: {data[:80]!r}; is there a kvproxy at this address?")
    return value
