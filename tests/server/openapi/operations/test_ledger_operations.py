"""Every operation of the ledger says the permission that it needs."""

from __future__ import annotations

from kvproxy.server.openapi.operations import OPERATIONS
from kvproxy.server.openapi.operations.ledger_operations import LEDGER


def test_permissions() -> None:
    assert {operation.path: operation.needs for operation in LEDGER} == {
        "/kv/v1/usage": "ledger",
        "/kv/v1/balance": "ledger",
        "/kv/v1/credit": "admin",
    }
    assert not any(operation.open for operation in LEDGER)
    assert all(operation in OPERATIONS for operation in LEDGER)
