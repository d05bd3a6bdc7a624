"""`RequestCalls`: the calls of `Client` about requests: those that have ended, and why one would miss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import httpx

from kvproxy.client.request_failed import RequestFailed, refusal
from kvproxy.client.sync_events import event_objects


class RequestCalls(ABC):
    """Calls about requests, over the exchange of the class that has them."""

    @abstractmethod
    def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], httpx.Response]:
        """Return the answer's JSON object, and the answer."""

    @abstractmethod
    def _open_stream(self, path: str, params: dict[str, str]) -> AbstractContextManager[httpx.Response]:
        """Open a stream of events."""

    @abstractmethod
    def _unreachable(self, error: httpx.HTTPError) -> RequestFailed:
        """Return the error for a proxy that cannot be reached."""

    def explain(
        self, request: Mapping[str, Any], *, against: str | None = None, previous: bool = False
    ) -> dict[str, Any]:
        """Return whether ``request`` would be a hit now, and why no more of it would be found. It is not sent.

        ``request`` is the body of a chat completion, a response or a message, as it would be sent. It is compared with
        the nearest known document or earlier request of this tenant; with the document ``against``; or, where
        ``previous`` is true, with earlier requests alone. Returns ``outcome``, ``cause`` with its ``meaning`` and what
        to ``do``, ``compared`` and the first ``difference`` with the text around it on both sides.
        Example: ``client.explain({"model": "qwen3-4b", "messages": messages}, previous=True)["cause"]``.
        """
        body = dict(request) | ({} if against is None else {"against": against})
        return self._exchange("POST", "/kv/v1/explain", body=body | ({"previous": True} if previous else {}))[
            0
        ]

    def requests(self, *, last: int) -> Iterator[dict[str, Any]]:
        """Yield the newest ``last`` requests that have ended, then each as it ends, without an end.

        An entry that holds ``missed`` counts those that were dropped because this reader was too slow.
        Example: ``for entry in client.requests(last=20): print(entry["outcome"], entry["cached_tokens"])``.
        """
        try:
            with self._open_stream("/kv/v1/requests", {"last": str(last)}) as response:
                if response.is_error:
                    response.read()
                    raise refusal(response)
                for _, entry in event_objects(response.iter_raw()):
                    yield entry
        except httpx.HTTPError as e:
            raise self._unreachable(e) from e
