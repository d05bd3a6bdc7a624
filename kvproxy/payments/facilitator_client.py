"""`Facilitator`: the x402 service that checks signatures and moves tokens; over HTTP, `RemoteFacilitator`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import httpx

_TIMEOUT_S = 60.0
_SUPPORTED_S = 5.0
"""A 402 waits for what the facilitator supports, and offers nothing of it where that takes longer."""
_MOST_BYTES = 2**18

Json = Mapping[str, Any]


class FacilitatorUnclear(Exception):
    """The facilitator gave no answer that says whether the payment was taken."""


class Facilitator(Protocol):
    """Verification and settlement of payments, as x402 defines them; values are JSON objects."""

    async def verify(self, payment: Json, requirements: Json) -> Json:
        """Return ``isValid``, with ``invalidReason`` where it is false. Takes nothing."""
        ...

    async def settle(self, payment: Json, requirements: Json) -> Json:
        """Take ``requirements["amount"]``; return ``success`` and ``transaction``, or ``errorReason``."""
        ...

    async def supported(self) -> Json:
        """Return ``kinds``: schemes by network, with what clients sign about this facilitator."""
        ...


class RemoteFacilitator:
    """A facilitator at a URL. Every call raises `FacilitatorUnclear` where no usable answer comes."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        """Take the base URL, and the client that the requests go through."""
        self._url = url.rstrip("/")
        self._client = client

    async def verify(self, payment: Json, requirements: Json) -> Json:
        """Ask ``POST /verify``."""
        return await self._post("/verify", payment, requirements, "isValid")

    async def settle(self, payment: Json, requirements: Json) -> Json:
        """Ask ``POST /settle``."""
        return await self._post("/settle", payment, requirements, "success")

    async def supported(self) -> Json:
        """Ask ``GET /supported``."""
        return await self._answer("GET", "/supported", None, _SUPPORTED_S)

    async def _post(self, path: str, payment: Json, requirements: Json, outcome: str) -> Json:
        body = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": requirements}
        answer = await self._answer("POST", path, body)
        if not isinstance(answer.get(outcome), bool):
            raise FacilitatorUnclear(f"{self._url}{path} answered without '{outcome}'")
        return answer

    async def _answer(self, method: str, path: str, body: Json | None, timeout_s: float = _TIMEOUT_S) -> Json:
        try:
            response = await self._client.request(method, self._url + path, json=body, timeout=timeout_s)
        except httpx.HTTPError as e:
            raise FacilitatorUnclear(f"{self._url}{path} does not answer ({type(e).__name__})") from e
        try:
            answer = response.json() if len(response.content) <= _MOST_BYTES else None
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise FacilitatorUnclear(
                f"{self._url}{path} answered {response.status_code} without a JSON object"
            )
        return answer
