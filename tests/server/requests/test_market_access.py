"""The market as a route finds it; that a proxy without one has no such URL is in test_account_operations."""

from __future__ import annotations

import pytest

from kvproxy.server.market import Market
from tests.server.doubles import client_of, make_proxy


@pytest.mark.parametrize("path", ["/kv/v1/keys", "/kv/v1/tenants", "/kv/v1/grants"])
async def test_a_part_that_is_not_set_up_is_no_url(path: str) -> None:
    async with client_of(make_proxy(market=Market())) as http:
        response = await http.get(path)
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (404, "unknown_url")
    assert path in error["message"] and "has no market" in error["message"]


async def test_a_body_is_read_before_it_is_asked_whose_it_is() -> None:
    async with client_of(make_proxy(market=Market())) as http:
        for body, told in (({"id": "a", "more": 1}, "more"), ({}, "id"), ({"id": 5}, "id")):
            response = await http.post("/kv/v1/tenants", json=body)
            assert response.status == 400 and (await response.json())["error"]["param"] == told
