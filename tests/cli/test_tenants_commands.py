from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kvproxy.cli.account_database import configured_accounts
from kvproxy.cli.app import app
from kvproxy.core.document_quota import DocumentQuota


def tenants(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["tenants", *arguments, "--store", str(folder)])


def tenant(folder: Path, name: str) -> dict[str, object]:
    rows = json.loads(tenants(folder, "list", "--json").stdout)
    return next(row for row in rows if row["id"] == name)


def test_a_tenant_is_made_limited_and_closed(tmp_path: Path) -> None:
    assert tenants(tmp_path, "create", "alice", "--credit", "5.00").exit_code == 0
    assert tenant(tmp_path, "alice")["credit"] == {"nano": 5 * 10**9, "amount": "5", "currency": "USD"}
    changed = tenants(
        tmp_path,
        *("limit", "alice", "--period", "minute", "--requests", "60", "--credit", "unlimited", "--close"),
    )
    assert changed.exit_code == 0, changed.output
    found = tenant(tmp_path, "alice")
    assert found["credit"] is None and found["closed"] is not None
    assert found["budgets"] == [{"period": "minute", "tokens": None, "money": None, "requests": 60}]
    table = tenants(tmp_path, "list").stdout
    assert "60 requests a minute" in table and "unlimited" in table and "closed 2" in table
    assert tenants(tmp_path, "limit", "alice", "--reopen").exit_code == 0
    assert tenant(tmp_path, "alice")["closed"] is None


def test_a_tenant_has_a_quota_of_its_own(tmp_path: Path) -> None:
    def quota() -> DocumentQuota | None:
        with configured_accounts(None, tmp_path) as (_, accounts):
            return accounts.quota("anonymous")

    assert quota() is None
    for text, own in (
        ("versions=100,bytes=1GiB", DocumentQuota(100, 2**30)),
        ("tokens=5", DocumentQuota(tokens=5)),
        ("none", DocumentQuota()),
        ("default", None),
    ):
        done = tenants(tmp_path, "limit", "anonymous", "--quota", text)
        assert done.exit_code == 0, done.output
        assert quota() == own


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "a b"), "a tenant has a name"),
        (("create", "anonymous"), "There is a tenant 'anonymous' already"),
        (("create", "alice", "--credit", "much"), "is no amount"),
        (("limit", "nobody", "--close"), "There is no tenant 'nobody'"),
        (("limit", "anonymous"), "nothing to set"),
        (("limit", "anonymous", "--tokens", "5"), "say for which --period"),
        (("limit", "anonymous", "--quota", "much"), "is no quota"),
        (("limit", "anonymous", "--quota", "bytes=x"), "write a size like"),
        (("limit", "nobody", "--quota", "none"), "There is no tenant 'nobody'"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    done = tenants(tmp_path, *arguments)
    assert done.exit_code in (1, 2)
    assert told in done.stderr and done.stderr.count("\n") == 1
