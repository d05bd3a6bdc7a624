from __future__ import annotations

import pytest

from kvproxy.server.openapi.operation import Operation
from kvproxy.server.openapi.operations.grant_operations import GRANTS
from tests.server.doubles import client_of, make_proxy


@pytest.mark.parametrize("operation", GRANTS, ids=lambda o: o.id)
async def test_without_a_market_there_is_no_such_url(operation: Operation) -> None:
    path = operation.path.format(**{p.name: p.example for p in operation.parameters})
    async with client_of(make_proxy()) as http:
        response = await http.request(operation.method, path, json=operation.example)
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (404, "unknown_url")
    assert "has no market" in error["message"]
