from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kvproxy.accounts.account_values import KeyOrder
from kvproxy.server.openapi.operation import Operation
from kvproxy.server.openapi.operations.anthropic_operations import ANTHROPIC
from tests.server.doubles import client_of
from tests.server.markets import market_proxy


@pytest.mark.parametrize("operation", ANTHROPIC, ids=lambda o: o.id)
async def test_a_key_without_the_permission_is_told_in_anthropics_words(
    operation: Operation, tmp_path: Path
) -> None:
    assert operation.needs == "read"
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        order = KeyOrder("alice", frozenset({"publish"}))
        made = await asyncio.to_thread(market.accounts.create_key, order)
        headers = {"x-api-key": made.text, "anthropic-version": "2023-06-01"}
        response = await http.post(operation.path, json=operation.example, headers=headers)
        answer = await response.json()
    assert response.status == 403
    assert (answer["type"], answer["error"]["type"]) == ("error", "permission_error")
    assert "the scope 'read'; yours has: publish" in answer["error"]["message"]
