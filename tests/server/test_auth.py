from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kvproxy.accounts.account_values import KeyOrder
from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.open_accounts import static_tenants
from kvproxy.core import ANONYMOUS, DEFAULT_PERMISSIONS, Caller
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.errors import AuthenticationFailed, PermissionDenied
from kvproxy.server.auth import Keyring, require
from tests.server.doubles import ask, client_of, make_proxy

KEYS = (("ann", "ann-key-0123456789"), ("bob", "bob-key-0123456789"))


def caller(name: str, key: str) -> Caller:
    scope = "tenant:" + hashlib.sha256(key.encode()).hexdigest()[:32]
    return Caller(name, scope, key=f"config:{name}", permissions=DEFAULT_PERMISSIONS)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {}"},
        {"Authorization": "bearer  {}"},
        {"x-api-key": "{}"},
        {"api-key": "{}"},
        # A placeholder beside the key, as clients of two providers send it.
        {"Authorization": "Bearer sk-none", "x-api-key": "{}"},
        {"Authorization": "Bearer {}", "x-api-key": "none", "api-key": "{}"},
        {"Authorization": "Basic bm9uZTpub25l", "api-key": "{}"},
    ],
)
def test_each_header_names_the_caller(headers: dict[str, str]) -> None:
    keyring = Keyring(KEYS)
    for name, key in KEYS:
        assert keyring.caller({h: v.format(key) for h, v in headers.items()}) == caller(name, key)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nope"},
        {"Authorization": "Basic " + KEYS[0][1]},
        {"x-api-key": KEYS[0][1] + "x"},
        {"x-api-key": "\udcff"},
    ],
)
def test_anything_else_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(AuthenticationFailed):
        Keyring(KEYS).caller(headers)


def test_the_keys_of_two_tenants_in_one_request_are_none() -> None:
    with pytest.raises(AuthenticationFailed, match="two tenants"):
        Keyring(KEYS).caller({"Authorization": f"Bearer {KEYS[0][1]}", "x-api-key": KEYS[1][1]})


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (f"Basic {KEYS[0][1]}", "a user name and a password"),
        (KEYS[0][1], "does not begin with 'Bearer '"),
        (f"Token {KEYS[0][1]}", "does not begin with 'Bearer '"),
        ("Bearer ", "no key after 'Bearer'"),
        ("", "does not begin"),
    ],
)
def test_what_is_wrong_is_told_without_the_key(sent: str, told: str) -> None:
    with pytest.raises(AuthenticationFailed, match=told) as caught:
        Keyring(KEYS).caller({"Authorization": sent})
    assert "YOUR_KEY" in caught.value.message and KEYS[0][1][:5] not in caught.value.message


def test_without_keys_everyone_is_the_same_caller() -> None:
    assert Keyring().caller({"Authorization": "Bearer whatever"}) == ANONYMOUS


async def test_over_http() -> None:
    proxy = make_proxy(api_keys=KEYS)
    async with client_of(proxy) as http:
        for path in ("/v1/models", "/kv/v1/documents", "/nowhere"):
            refused = await http.get(path)
            assert refused.status == 401
            assert (await refused.json())["error"]["code"] == "invalid_api_key"
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert (await http.get("/health/ready")).status == 200
        for name, key in KEYS:
            headers = {"Authorization": f"Bearer {key}"}
            assert (await http.post("/v1/chat/completions", json=ask(), headers=headers)).status == 200
            assert proxy.backend.generations[-1].caller == caller(name, key)
    # Equal prompts of two tenants: neither is served from the other's pages.
    assert [g.require_cached for g in proxy.backend.generations] == [0, 0]


def test_keys_have_all_permissions_but_admin_unless_the_configuration_says_otherwise() -> None:
    keyring = Keyring(KEYS, permissions={"bob": frozenset({"admin"})})
    found = [keyring.caller({"x-api-key": key}) for _, key in KEYS]
    assert [c.permissions for c in found] == [DEFAULT_PERMISSIONS, frozenset({"admin"})]
    require(found[1], "admin")
    with pytest.raises(PermissionDenied, match=r"needs an API key with the scope 'read'; yours has: admin"):
        require(found[1], "read")
    require(ANONYMOUS, "admin")


def test_keys_of_the_database_are_beside_those_of_the_configuration(tmp_path: Path) -> None:
    with Database.open(None, tmp_path) as database:
        METADATA.create_all(database.engine)
        accounts = Accounts(database, b"s" * 32)
        accounts.adopt(static_tenants(KEYS))
        assert Keyring(accounts=accounts).empty
        made = accounts.create_key(KeyOrder("ann", frozenset({"read"})))
        keyring = Keyring((("ann", "another-key-0123456789"), KEYS[1]), accounts=accounts)
        kept = keyring.caller({"x-api-key": made.text})
        assert (kept.key, kept.permissions) == (made.stored.id, frozenset({"read"}))
        # Another key in the configuration is the same tenant, with the same pages.
        again = keyring.caller({"x-api-key": "another-key-0123456789"})
        assert again.scope == kept.scope == accounts.tenant("ann").scope
        with pytest.raises(AuthenticationFailed, match="two API keys"):
            keyring.caller({"x-api-key": made.text, "api-key": "another-key-0123456789"})
        with pytest.raises(AuthenticationFailed, match="two tenants"):
            keyring.caller({"x-api-key": made.text, "api-key": KEYS[1][1]})
        with pytest.raises(AuthenticationFailed, match="Incorrect API key provided"):
            keyring.caller({"x-api-key": made.text[:-1]})
        assert not Keyring(accounts=accounts).empty
