"""`Client`: a running proxy's documents, and questions about them, over HTTP. Synchronous; built on httpx."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from kvproxy.client.document_path import document_path
from kvproxy.client.figure_calls import FigureCalls
from kvproxy.client.file_calls import FileCalls
from kvproxy.client.market_calls import MarketCalls
from kvproxy.client.question_calls import QuestionCalls
from kvproxy.client.request_calls import RequestCalls
from kvproxy.client.request_failed import RequestFailed, failure, refusal, unreachable
from kvproxy.client.residency_calls import ResidencyCalls
from kvproxy.client.sync_events import event_objects
from kvproxy.client.topups import Payer, topped_up
from kvproxy.client.version_calls import VersionCalls

Progress = Callable[[int, int], None]

DEFAULT_URL = "http://127.0.0.1:8321"
"""The address that `kvproxy serve` listens on unless it is given another one."""


class Client(FigureCalls, MarketCalls, QuestionCalls, RequestCalls, ResidencyCalls, VersionCalls, FileCalls):
    """A connection to one proxy. Use it in a ``with``; every call raises `RequestFailed`.

    ``base_url`` is the proxy's root, with or without the ``/v1`` that agents use. It and ``api_key`` default to
    the environment's ``KVPROXY_URL`` and ``KVPROXY_API_KEY``, as on the command line. Example::

        with Client() as client:
            client.publish("handbook", Path("handbook.md").read_text())
            print(client.ask("How many days of leave do I have?", ["handbook"]).text)
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``transport`` replaces the network, as `httpx.MockTransport` does in tests."""
        root = (base_url or os.environ.get("KVPROXY_URL") or DEFAULT_URL).rstrip("/").removesuffix("/v1")
        key = api_key or os.environ.get("KVPROXY_API_KEY")
        headers = {"authorization": f"Bearer {key}"} if key else {}
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
        self.close()

    def close(self) -> None:
        """Close its connections; a ``with`` does it at its end."""
        self._http.close()

    def publish(
        self,
        document: str,
        text: str,
        *,
        visibility: str | None = None,
        pinned: bool | None = None,
        price: Mapping[str, str] | None = None,
        licence: str | None = None,
        ttl_s: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Publish ``text`` as ``document`` and wait until its pages are kept.

        The text of the current version changes nothing; another text becomes a new version. ``visibility`` is
        ``"public"``, ``"granted"`` for those whom a grant lets in, or ``"private"`` for this API key's tenant alone;
        ``pinned`` keeps the KV in memory; ``price`` and ``licence`` are terms, as `set_terms` has them; None leaves
        what is configured, or what the version before it has. ``ttl_s``: seconds after which it is not served any
        more. ``progress(done, total)`` counts tokens.

        Returns ``info`` (as `document` does), ``created`` (false when the version was there) and ``prefill_s``.
        Example: ``client.publish("handbook", text, visibility="private")["info"]["version"]``.
        """
        chosen = {
            "visibility": visibility,
            "pinned": pinned,
            "price": price,
            "licence": licence,
            "ttl_s": ttl_s,
        }
        body = {"id": document, "text": text} | {k: v for k, v in chosen.items() if v is not None}
        result = self._streamed("/kv/v1/documents", body, {}, progress)
        if result is None:
            raise RequestFailed(
                "the proxy ended the publish without a result; look at its log and publish again"
            )
        return result

    def documents(self, *, learned: bool = False, tenant: str | None = None) -> list[dict[str, Any]]:
        """Return every document that this API key may read, all versions, as `document` has each.

        ``learned``: only those that were learned from requests, of another ``tenant`` with an admin's key.
        Example: ``[d["id"] for d in client.documents()]``.
        """
        params = {"learned": "true"} | ({"tenant": tenant} if tenant is not None else {}) if learned else None
        data: list[dict[str, Any]] = self._json("GET", "/kv/v1/documents", params=params)["data"]
        return data

    def promote(
        self, ref: str, document: str, *, visibility: str | None = None, tenant: str | None = None
    ) -> dict[str, Any]:
        """Publish a learned document under an id of its own; the learned one ends. Returns what `publish` does.

        Example: ``client.promote("learned/0f3a1b2c4d5e", "handbook", visibility="public")``.
        """
        chosen = {"visibility": visibility, "tenant": tenant}
        body = {"id": document} | {k: v for k, v in chosen.items() if v is not None}
        return self._exchange("POST", f"{document_path(ref)}/promote", body=body)[0]

    def document(self, ref: str, *, text: bool = False) -> dict[str, Any]:
        """Return one version: ``ref`` is ``"handbook"`` for the current one, ``"handbook@3"``, ``"handbook@stable"``.

        Its fields: ``id``, ``version``, ``current``, ``etag`` (sha256 of the text), ``visibility``, ``characters``,
        ``tokens``, ``created`` (Unix seconds), ``framings`` with their ``resident_tokens``, ``quarantined``,
        ``pinned``, ``origin``, ``reads``, ``saved_tokens``, ``last_read``, ``expires``, ``aliases``,
        ``spellings``; ``text`` where that is asked for; and ``models`` where more than one model is served here, with
        the ``framings`` under each further one. A framing's ``replicas`` are those of a fleet that hold some of it.
        Example: ``client.document("handbook", text=True)["text"]``.
        """
        return self._json("GET", document_path(ref), params={"text": "true"} if text else None)

    def delete(self, ref: str) -> None:
        """Delete all versions of a document (``"handbook"``), or one (``"handbook@3"``), at once for new readers.

        Example: ``client.delete("handbook@3")``.
        """
        self._json("DELETE", document_path(ref))

    def verify(
        self,
        ref: str,
        *,
        tokens: int | None = None,
        model: str | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Compare hits on a document with a prefill from scratch, to the bit; of a fleet, see how far answers agree.

        Takes as long as a few cold prefills. ``tokens`` of the greedy answers are compared (24 by default);
        ``model`` names the served model, the first one by default. ``progress(done, total)`` counts computed tokens.
        Returns ``exact``, ``agrees`` (of a fleet, which is never exact; else None), and ``data`` with one entry for
        each framing and spelling. Example: ``client.verify("handbook")["exact"]``.
        """
        query = {} if tokens is None else {"tokens": str(tokens)}
        query |= {} if model is None else {"model": model}
        result = self._streamed(document_path(ref) + "/verify", None, query, progress)
        if result is None:
            raise RequestFailed("the proxy ended the verification without a result; look at its log")
        return result

    def manage(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request of the management API, and return its answer.

        Example: ``client.manage("GET", "/kv/v1/grants")["data"]``
        """
        return self._exchange(method, path, body=body)[0]

    def topup(self, amount: str, payer: Payer) -> dict[str, Any]:
        """Pay ``amount`` (a decimal of the host's currency) into this key's balance, by ``payer``'s signature.

        Returns ``payment``, ``transaction``, ``credited`` and ``balance``.
        Example: ``client.topup("5", EvmPayer(key, most="5"))["balance"]["amount"]``.
        """
        try:
            return topped_up(self._http, amount, payer)
        except httpx.HTTPError as e:
            raise self._unreachable(e) from e

    @property
    def root(self) -> str:
        """The proxy's address without ``/v1``."""
        return self._root

    def _open_stream(self, path: str, params: dict[str, str]) -> AbstractContextManager[httpx.Response]:
        return self._http.stream("GET", path, params=params, headers={"accept": "text/event-stream"})

    def _streamed(
        self,
        path: str,
        body: dict[str, Any] | None,
        query: dict[str, str],
        progress: Progress | None,
        *,
        content: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """Return the ``result`` event; None when the stream ended without one."""
        asked = {"accept": "text/event-stream", **(headers or {})}
        try:
            with self._http.stream(
                "POST", path, json=body, content=content, params=query, headers=asked
            ) as response:
                if response.is_error:
                    response.read()
                    raise refusal(response)
                for event, data in event_objects(response.iter_bytes()):
                    if event == "result":
                        return data
                    if event == "error":
                        raise failure(data, response, "the proxy failed")
                    if event == "progress" and progress is not None:
                        _tell(progress, data)
        except httpx.HTTPError as e:
            raise self._unreachable(e) from e
        return None

    @contextmanager
    def _downloading(self, path: str) -> Iterator[httpx.Response]:
        try:
            with self._http.stream("GET", path) as response:
                if response.is_error:
                    response.read()
                    raise refusal(response)
                yield response
        except httpx.HTTPError as e:
            raise self._unreachable(e) from e

    def _json(self, method: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        return self._exchange(method, path, params=params)[0]

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], httpx.Response]:
        """Return the answer's JSON object, and the answer."""
        try:
            response = self._http.request(method, path, params=params, json=body)
        except httpx.HTTPError as e:
            raise self._unreachable(e) from e
        if response.is_error:
            raise refusal(response)
        try:
            answer = response.json() if response.content else {}
        except (ValueError, RecursionError) as e:
            raise self._not_a_kvproxy(response) from e
        if not isinstance(answer, dict):
            raise self._not_a_kvproxy(response)
        return answer, response

    def _unreachable(self, error: httpx.HTTPError) -> RequestFailed:
        return unreachable(self._root, error)

    def _not_a_kvproxy(self, response: httpx.Response) -> RequestFailed:
        return RequestFailed(
            f"{self._root} answered {response.status_code}, but not as a kvproxy does; is there one at this address?"
        )


def _tell(progress: Progress, data: dict[str, Any]) -> None:
    done, total = data.get("done"), data.get("total")
    if isinstance(done, int) and isinstance(total, int):
        progress(done, total)
