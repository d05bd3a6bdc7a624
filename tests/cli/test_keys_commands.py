from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.key_hash import open_secret
from kvproxy.cli.app import app
from kvproxy.core import DEFAULT_PERMISSIONS, Caller
from kvproxy.database.database import Database
from kvproxy.errors import AuthenticationFailed


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def keys(folder: Path, *arguments: str) -> Result:
    return run("keys", *arguments, "--store", str(folder))


def caller_of(folder: Path, key: str) -> Caller | None:
    with Database.open(None, folder) as database:
        accounts = Accounts(database, open_secret(folder))
        accounts.load()
        return accounts.caller_of([key])


def test_the_first_key_is_made_and_printed_alone(tmp_path: Path) -> None:
    done = keys(tmp_path, "create", "boss", "--scope", "admin", "--scope", "read")
    assert done.exit_code == 0, done.output
    key = done.stdout.strip()
    assert key.startswith("kvp_") and len(key) == 36  # for KEY=$(kvproxy keys create boss)
    assert "made tenant boss" in done.stderr and key not in done.stderr
    found = caller_of(tmp_path, key)
    assert found is not None and (found.name, found.permissions) == ("boss", frozenset({"admin", "read"}))
    again = keys(tmp_path, "create", "boss")
    assert again.exit_code == 0 and "made tenant" not in again.stderr
    found = caller_of(tmp_path, again.stdout.strip())
    assert found is not None and found.permissions == DEFAULT_PERMISSIONS


def test_a_list_shows_no_key(tmp_path: Path) -> None:
    assert "no keys" in keys(tmp_path, "list").stdout
    key = keys(tmp_path, "create", "alice", "--label", "laptop", "--expires", "30d").stdout.strip()
    table = keys(tmp_path, "list").stdout
    assert "laptop" in table and "good until" in table and key[-4:] in table and key not in table
    rows = json.loads(keys(tmp_path, "list", "--tenant", "alice", "--json").stdout)
    assert [(r["tenant"], r["label"], r["expires"] - r["created"]) for r in rows] == [
        ("alice", "laptop", 30 * 86_400)
    ]
    assert json.loads(keys(tmp_path, "list", "--tenant", "bob", "--json").stdout) == []


def test_a_key_is_rotated_limited_and_revoked(tmp_path: Path) -> None:
    old = keys(tmp_path, "create", "alice").stdout.strip()
    id = json.loads(keys(tmp_path, "list", "--json").stdout)[0]["id"]
    limited = keys(tmp_path, "limit", id, "--period", "day", "--tokens", "1000", "--amount", "2.50")
    assert limited.exit_code == 0, limited.output
    new = keys(tmp_path, "rotate", id, "--overlap", "1h").stdout.strip()
    assert caller_of(tmp_path, old) is not None and caller_of(tmp_path, new) is not None
    rows = json.loads(keys(tmp_path, "list", "--json").stdout)
    assert [r["budgets"][0]["money"]["nano"] for r in rows] == [2_500_000_000] * 2
    assert keys(tmp_path, "revoke", rows[1]["id"]).exit_code == 0
    with pytest.raises(AuthenticationFailed, match="revoked"):
        caller_of(tmp_path, new)
    assert keys(tmp_path, "limit", id, "--period", "day").exit_code == 0
    assert json.loads(keys(tmp_path, "list", "--json").stdout)[0]["budgets"] == []


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("create", "a b"), 1, "a tenant has a name"),
        (("create", "alice", "--scope", "everything"), 2, "'read', 'publish'"),
        (("create", "alice", "--expires", "soon"), 2, "is no duration: write one like 90s"),
        (("create", "alice", "--isolate-by", "ip"), 2, "isolate_by"),
        (("revoke", "key_0"), 1, "no API key with the id 'key_0'"),
        (("rotate", "key_0"), 1, "no API key with the id 'key_0'"),
        (("limit", "key_0", "--period", "year"), 2, "'year' is no period"),
        (("limit", "key_0", "--period", "day", "--amount", "1e3"), 2, "is no amount"),
        (("limit", "key_0", "--period", "day", "--amount", "-1"), 2, "is below zero"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], status: int, told: str
) -> None:
    done = keys(tmp_path, *arguments)
    assert done.exit_code == status
    assert done.stderr.startswith("kvproxy: ") and told in done.stderr and done.stderr.count("\n") == 1
    assert json.loads(keys(tmp_path, "list", "--json").stdout) == []


def test_the_configurations_tenants_are_there(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"store: {{path: {tmp_path}}}\nserver: {{api_keys: [{{name: acme, key: acme-key-0123456789}}]}}\n"
    )
    key = run("keys", "create", "acme", "--config", str(config)).stdout.strip()
    found = caller_of(tmp_path, key)
    assert found is not None and found.name == "acme"
    assert found.scope.startswith("tenant:") and len(found.scope) == 39
