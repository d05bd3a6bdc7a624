"""`FigureCalls`: the calls of `Client` about figures: what was saved, what missed, and whether the proxy is ready."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import httpx


class FigureCalls(ABC):
    """Calls about figures, over the exchange of the class that has them."""

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

    def overview(self, *, tenant: str | None = None, points: int = 60) -> dict[str, Any]:
        """Return this tenant's figures: ``today`` and in ``total``, ``recent`` and a ``series`` of ``points`` minutes,
        and the state of the proxy.

        ``tenant``: another one, or ``all`` for all together; for keys with the scope ``admin``.
        Example: ``client.overview()["today"]["cached_tokens"]``.
        """
        params = {"points": str(points)} | ({} if tenant is None else {"tenant": tenant})
        return self._exchange("GET", "/kv/v1/overview", params=params)[0]

    def misses(
        self, *, most: int = 20, cause: str | None = None, tenant: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the newest ``most`` requests that missed, newest first; of one ``cause`` where it is given.

        ``tenant`` as for :meth:`overview`. Example: ``client.misses(cause="timestamp")[0]["document"]``.
        """
        given = {"cause": cause, "tenant": tenant}
        params = {"most": str(most)} | {name: value for name, value in given.items() if value is not None}
        data: list[dict[str, Any]] = self._exchange("GET", "/kv/v1/misses", params=params)[0]["data"]
        return data

    def ended(self, *, last: int = 20) -> list[dict[str, Any]]:
        """Return this tenant's newest ``last`` requests that have ended, oldest first.

        Example: ``client.ended(last=5)[-1]["cached_tokens"]``.
        """
        answer = self._exchange("GET", "/kv/v1/requests", params={"last": str(last)})[0]
        data: list[dict[str, Any]] = answer["data"]
        return data

    def ready(self) -> dict[str, Any]:
        """Return ``{"status": "ready"}``, with what is ``degraded``; needs no key. Raises `RequestFailed` with the
        reason where no request would be served now.

        Example: ``client.ready()["status"]``.
        """
        return self._exchange("GET", "/health/ready")[0]
