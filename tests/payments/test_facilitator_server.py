"""The HTTP facilitator, through the client that a configured URL gets."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from kvproxy.payments.facilitator_client import RemoteFacilitator
from kvproxy.payments.facilitator_server import facilitator_server
from kvproxy.payments.local_facilitator import LocalFacilitator
from tests.payments.paying import RECIPIENT, wallet
from tests.payments.test_local_facilitator import exact


async def test_a_payment_over_http(facilitator: LocalFacilitator) -> None:
    payment, requirements = exact(wallet())
    with facilitator_server(facilitator) as url:
        async with httpx.AsyncClient(trust_env=False) as http:
            remote = RemoteFacilitator(url + "/", http)
            assert await remote.supported() == await facilitator.supported()
            assert (await remote.verify(payment, requirements))["isValid"] is True
            assert (await remote.settle(payment, requirements))["success"] is True
            assert (await remote.settle(payment, requirements))["success"] is False
    assert facilitator.chain.balance(RECIPIENT) == 1000


async def test_one_of_many_at_once_is_taken(facilitator: LocalFacilitator) -> None:
    payment, requirements = exact(wallet())
    with facilitator_server(facilitator) as url:
        async with httpx.AsyncClient(trust_env=False) as http:
            remote = RemoteFacilitator(url, http)
            answers = await asyncio.gather(*(remote.settle(payment, requirements) for _ in range(5)))
    assert sum(answer["success"] for answer in answers) == 1
    assert facilitator.chain.balance(RECIPIENT) == 1000


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", b"", 404),
        ("POST", "/pay", b"{}", 404),
        ("POST", "/settle", b"not json", 400),
        ("POST", "/settle", b"[]", 400),
        ("POST", "/verify", b"{}", 400),
        ("POST", "/verify", b"x" * (2**18 + 1), 404),
    ],
)
def test_wrong_requests(
    facilitator: LocalFacilitator, method: str, path: str, body: bytes, status: int
) -> None:
    with facilitator_server(facilitator) as url, httpx.Client(trust_env=False) as http:
        assert http.request(method, url + path, content=body).status_code == status
