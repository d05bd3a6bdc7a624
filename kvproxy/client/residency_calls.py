"""`ResidencyCalls`: the calls of `Client` that pin, unpin and warm documents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import httpx

from kvproxy.client.document_path import document_path
from kvproxy.client.request_failed import RequestFailed


class ResidencyCalls(ABC):
    """Calls about a document's KV in memory, over the exchange of the class that has them."""

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
    def _streamed(
        self,
        path: str,
        body: dict[str, Any] | None,
        query: dict[str, str],
        progress: Callable[[int, int], None] | None,
    ) -> dict[str, Any] | None:
        """Return the ``result`` event; None when the stream ended without one."""

    def pin(self, ref: str, *, partial: bool = False) -> dict[str, Any]:
        """Keep a document's KV in memory, also after a restart; with ``partial`` as much as the budgets leave.

        Returns ``asked`` and ``pinned`` pages, the ``limit`` that left some out, the ``room`` that is left of this
        tenant's ``budget``, and ``framings``. Example: ``client.pin("handbook", partial=True)["pinned"]``.
        """
        params = {"partial": "true"} if partial else None
        return self._exchange("POST", f"{document_path(ref)}/pin", params=params)[0]

    def unpin(self, ref: str) -> dict[str, Any]:
        """Let a document's KV make room for others. Returns as `pin` does. Example: ``client.unpin("handbook")``."""
        return self._exchange("POST", f"{document_path(ref)}/unpin")[0]

    def warm(self, ref: str, *, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Bring a document's KV into memory: loaded, or prefilled where it is on no disk; nothing is generated.

        Returns tokens in memory ``before`` and ``after``, ``loaded`` and ``computed`` ones, and ``seconds``;
        ``progress(done, total)`` counts tokens. Example: ``client.warm("handbook")["computed"]``.
        """
        result = self._streamed(f"{document_path(ref)}/warm", None, {}, progress)
        if result is None:
            raise RequestFailed("the proxy ended the warming without a result; look at its log")
        return result
