"""Mutated requests of an administrator and a publisher: never a 500, and on both databases."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from kvproxy.accounts.account_values import KeyOrder
from kvproxy.core import ALL_PERMISSIONS
from tests.server.doubles import Http, client_of
from tests.server.markets import BOSS, bearer, market_proxy
from tests.server.mutations import Asked, Mutator

REQUESTS = 400

BUDGETS = [{"period": "day", "tokens": 5, "amount": "0.5", "requests": 3}, {"period": "minute"}]


def seeds(key: str) -> list[Asked]:
    grant: dict[str, Any] = {"document": "handbook@1", "reader": "tenant", "id": "alice", "max_reads": 5}
    return [
        Asked(
            "POST", "/kv/v1/keys", {"tenant": "alice", "scopes": ["read"], "label": "l", "expires_in_s": 9}
        ),
        Asked("GET", "/kv/v1/keys?tenant=alice", None),
        Asked("POST", f"/kv/v1/keys/{key}", {"budgets": BUDGETS}),
        Asked("POST", f"/kv/v1/keys/{key}/rotate?overlap_s=5", None),
        Asked("DELETE", f"/kv/v1/keys/{key}%00", None),
        Asked("POST", "/kv/v1/tenants", {"id": "bob", "credit": "5.00"}),
        Asked("POST", "/kv/v1/tenants/alice", {"credit": "unlimited", "budgets": BUDGETS}),
        Asked("GET", "/kv/v1/tenants/alice", None),
        Asked("POST", "/kv/v1/grants", {**grant, "max_amount": "1.5", "expires_in_s": 9}),
        Asked("DELETE", "/kv/v1/grants/grant_1%00", None),
    ]


async def send(http: Http, asked: Asked) -> int:
    url = URL(f"http://{http.host}:{http.port}{asked.path}", encoded=True)
    headers = {"Content-Type": "application/json", **bearer(BOSS[1]), **asked.headers}
    async with http.session.request(asked.method, url, data=asked.data(), headers=headers) as response:
        await response.read()
        return response.status


async def test_mutated_requests_never_fail(
    database_url: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    seen: dict[int, int] = {}
    async with market_proxy(tmp_path, url=database_url) as market, client_of(market.proxy) as http:
        made = await asyncio.to_thread(market.accounts.create_key, KeyOrder("alice", ALL_PERMISSIONS))
        mutator = Mutator(seeds(made.stored.id), 7)
        for _ in range(REQUESTS):
            asked = mutator.next()
            try:
                status = await send(http, asked)
            except (ValueError, aiohttp.ClientError):
                continue  # the client itself will not send it, or the server closed what is no HTTP
            seen[status] = seen.get(status, 0) + 1
            assert status < 500, f"{asked.method} {asked.path[:200]} {(asked.data() or b'')[:500]!r}"
    assert caplog.records == []
    assert seen[400] > 20 and seen[200] + seen.get(201, 0) > 5
