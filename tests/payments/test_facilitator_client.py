"""A facilitator that gives no usable answer is unclear, never a refusal and never a success."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from kvproxy.payments.facilitator_client import FacilitatorUnclear, RemoteFacilitator


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow", request=request)


ANSWERS: list[Callable[[httpx.Request], httpx.Response]] = [
    broken,
    lambda request: httpx.Response(200, text="<html>"),
    lambda request: httpx.Response(200, json=[]),
    lambda request: httpx.Response(500, json={"error": "down"}),
    lambda request: httpx.Response(200, json={"success": "yes", "isValid": 1}),
    lambda request: httpx.Response(200, content=b'{"success": true, "x": "' + b"x" * 2**18 + b'"}'),
]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_it_is_unclear(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        remote = RemoteFacilitator("http://facilitator.test", http)
        with pytest.raises(FacilitatorUnclear, match=r"http://facilitator\.test/settle"):
            await remote.settle({}, {})
        with pytest.raises(FacilitatorUnclear):
            await remote.verify({}, {})


async def test_what_is_sent() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(400, json={"success": False, "errorReason": "no"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        told = await RemoteFacilitator("http://f.test/x402/", http).settle({"a": 1}, {"b": 2})
    assert told["errorReason"] == "no"
    assert str(seen[0].url) == "http://f.test/x402/settle"
    assert seen[0].content == b'{"x402Version":2,"paymentPayload":{"a":1},"paymentRequirements":{"b":2}}'
