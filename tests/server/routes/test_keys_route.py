"""Keys and tenants over HTTP; what each permission allows; keys never in a log."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from kvproxy.accounts.account_values import KeyOrder
from kvproxy.core import ALL_PERMISSIONS, Permission
from kvproxy.server.market import Market
from kvproxy.server.openapi.operations import OPERATIONS
from tests.server.doubles import Http, ask, client_of, make_proxy
from tests.server.markets import ACME, BOSS, bearer, market_proxy

ADMIN = bearer(BOSS[1])

UNKNOWN = "kvp_" + 16 * "uU"


async def new_key(http: Http, **fields: Any) -> dict[str, Any]:
    response = await http.post("/kv/v1/keys", json={"tenant": "alice", **fields}, headers=ADMIN)
    assert response.status == 201, await response.text()
    assert response.headers["Cache-Control"] == "no-store"
    made: dict[str, Any] = await response.json()
    return made


async def models(http: Http, key: str) -> tuple[int, str]:
    response = await http.get("/v1/models", headers=bearer(key))
    answer = await response.json()
    return response.status, answer.get("error", {}).get("message", "")


async def test_a_key_from_its_making_to_its_end(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        made = await new_key(http, scopes=["read"], label="laptop", expires_in_s=1000)
        assert made["object"] == "kv_new_key" and made["expires"] - made["created"] in (999, 1000, 1001)
        assert (await models(http, made["key"]))[0] == 200
        answer = await http.post("/v1/chat/completions", json=ask(), headers=bearer(made["key"]))
        assert answer.status == 200
        caller = market.proxy.backend.generations[-1].caller
        assert (caller.name, caller.key, caller.permissions) == (
            "alice",
            made["id"],
            frozenset({"read"}),
        )

        listed = await (await http.get("/kv/v1/keys?tenant=alice", headers=ADMIN)).json()
        shown = {name: value for name, value in made.items() if name != "key"}
        assert listed["data"] == [{**shown, "object": "kv_key"}]
        assert (await (await http.get("/kv/v1/keys?tenant=acme", headers=ADMIN)).json())["data"] == []

        rotated = await http.post(f"/kv/v1/keys/{made['id']}/rotate?overlap_s=60", headers=ADMIN)
        second = await rotated.json()
        assert rotated.headers["Cache-Control"] == "no-store" and second["label"] == "laptop"
        assert [(await models(http, k))[0] for k in (made["key"], second["key"])] == [200, 200]
        revoked = await http.delete(f"/kv/v1/keys/{second['id']}", headers=ADMIN)
        assert (await revoked.json())["revoked"] is not None
        status, message = await models(http, second["key"])
        assert status == 401 and "was revoked on" in message and "operator" in message


async def test_budgets_of_keys_and_tenants(tmp_path: Path) -> None:
    async with market_proxy(tmp_path, currency="EUR") as market, client_of(market.proxy) as http:
        made = await new_key(http)
        body: dict[str, Any] = {"budgets": [{"period": "minute", "requests": 60}]}
        changed = await (await http.post(f"/kv/v1/keys/{made['id']}", json=body, headers=ADMIN)).json()
        assert changed["budgets"] == [{"period": "minute", "tokens": None, "money": None, "requests": 60}]
        caller = market.accounts.recognise(made["key"]).caller
        assert caller is not None and [b.requests for b in market.accounts.budgets_of(caller)] == [60]

        body = {"credit": "2.5", "budgets": [{"period": "day", "amount": "0.000377", "tokens": 5}]}
        tenant = await (await http.post("/kv/v1/tenants/alice", json=body, headers=ADMIN)).json()
        assert tenant["credit"] == {"nano": 2_500_000_000, "amount": "2.5", "currency": "EUR"}
        assert tenant["budgets"][0]["money"]["nano"] == 377_000
        body = {"credit": "unlimited", "budgets": [{"period": "day"}]}
        tenant = await (await http.post("/kv/v1/tenants/alice", json=body, headers=ADMIN)).json()
        assert (tenant["credit"], tenant["budgets"]) == (None, [])
        assert await (await http.get("/kv/v1/tenants/alice", headers=ADMIN)).json() == tenant

        closed = await http.post("/kv/v1/tenants/alice", json={"closed": True}, headers=ADMIN)
        assert (await closed.json())["closed"] is not None
        assert (await models(http, made["key"]))[0] == 401
        await http.post("/kv/v1/tenants/acme", json={"closed": True}, headers=ADMIN)
        assert (await models(http, ACME[1]))[0] == 401  # the configuration's keys too
        await http.post("/kv/v1/tenants/alice", json={"closed": False}, headers=ADMIN)
        assert (await models(http, made["key"]))[0] == 200


async def test_tenants_are_made_and_listed(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        made = await http.post("/kv/v1/tenants", json={"id": "bob", "credit": "1"}, headers=ADMIN)
        assert made.status == 201
        again = await http.post("/kv/v1/tenants", json={"id": "bob"}, headers=ADMIN)
        assert again.status == 409 and (await again.json())["error"]["code"] == "already_used"
        listed = await (await http.get("/kv/v1/tenants", headers=ADMIN)).json()
        assert [t["id"] for t in listed["data"]] == ["acme", "alice", "anonymous", "bob", "boss"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/kv/v1/keys", {"tenant": "nobody"}, 404),
        ("POST", "/kv/v1/keys", {"tenant": "alice", "scopes": ["everything"]}, 400),
        ("POST", "/kv/v1/keys", {"tenant": "alice", "scope": ["read"]}, 400),
        ("POST", "/kv/v1/keys", {"tenant": "alice", "expires_in_s": 0}, 400),
        ("POST", "/kv/v1/keys/key_0", {"budgets": [{"period": "day", "tokens": 1}]}, 404),
        ("POST", "/kv/v1/keys/key_0", {"budgets": [{"period": "day", "tokens": -1}]}, 400),
        ("POST", "/kv/v1/keys/key_0/rotate", None, 404),
        ("POST", "/kv/v1/keys/key_0/rotate?overlap_s=x", None, 400),
        ("DELETE", "/kv/v1/keys/key_0", None, 404),
        ("GET", "/kv/v1/tenants/nobody", None, 404),
        ("POST", "/kv/v1/tenants/nobody", {"credit": "1"}, 404),
        ("POST", "/kv/v1/tenants/alice", {"credit": "1e3"}, 400),
        ("POST", "/kv/v1/tenants/alice", {"credit": 1.5}, 400),
    ],
)
async def test_what_cannot_be_done_is_said(
    tmp_path: Path, method: str, path: str, body: object, status: int
) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        before = (market.accounts.keys(), market.accounts.tenants())
        response = await http.request(method, path, json=body, headers=ADMIN)
        assert response.status == status
        assert (await response.json())["error"]["message"]
        assert (market.accounts.keys(), market.accounts.tenants()) == before


async def test_an_operation_needs_its_permission(tmp_path: Path) -> None:
    """For every operation: a key with all other permissions is refused, one with this alone is not."""
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        keys: dict[tuple[Permission, bool], str] = {}
        for permission in ALL_PERMISSIONS:
            for only in (True, False):
                scopes = frozenset({permission}) if only else ALL_PERMISSIONS - {permission}
                made = await asyncio.to_thread(market.accounts.create_key, KeyOrder("alice", scopes))
                keys[permission, only] = made.text
        tried = 0
        for operation in OPERATIONS:
            if operation.needs is None or operation.id == "listRequests":  # its stream does not end
                continue
            path = operation.path.format(**{p.name: "x" for p in operation.parameters})
            body: dict[str, object] | None = None if operation.body is None else {}
            for only in (True, False):
                headers = bearer(keys[operation.needs, only])
                response = await http.request(operation.method, path, json=body, headers=headers)
                assert (response.status == 403) == (not only), f"{operation.id}: {await response.text()}"
                if not only:
                    message = (await response.json())["error"]["message"]
                    assert f"the scope '{operation.needs}'" in message and "kvproxy keys create" in message
            tried += 1
        assert tried > 25
        head = await http.head("/v1/models", headers=bearer(keys["read", False]))
        assert head.status == 403


async def test_the_first_key_is_not_made_over_http(tmp_path: Path) -> None:
    """On a proxy that is open to everybody, the first comer would lock the others out."""
    async with market_proxy(tmp_path) as market:
        market_of = Market(accounts=market.accounts, grants=market.grants)
        proxy = make_proxy(market=market_of)
        async with client_of(proxy) as http:
            response = await http.post("/kv/v1/keys", json={"tenant": "alice", "scopes": ["admin"]})
            assert response.status == 403
            assert "kvproxy keys create NAME" in (await response.json())["error"]["message"]
            assert market.accounts.keys() == []
            assert (await http.get("/v1/models")).status == 200
            # Made on the machine: from now on requests need one.
            made = await asyncio.to_thread(market.accounts.create_key, KeyOrder("alice", ALL_PERMISSIONS))
            assert (await http.get("/v1/models")).status == 401
            assert (await models(http, made.text))[0] == 200
            await asyncio.to_thread(market.accounts.revoke_key, made.stored.id)
            assert (await http.get("/v1/models")).status == 401


async def test_no_log_line_has_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        keys = [(await new_key(http))["key"] for _ in range(2)]
        made = await new_key(http)
        rotated = await (await http.post(f"/kv/v1/keys/{made['id']}/rotate", headers=ADMIN)).json()
        keys += [made["key"], rotated["key"]]
        await http.delete(f"/kv/v1/keys/{rotated['id']}", headers=ADMIN)
        for key in [*keys, UNKNOWN]:
            await models(http, key)
            await http.post(f"/kv/v1/keys/{key}/rotate", headers=bearer(key))  # a key in place of its id
            await http.post("/kv/v1/keys", json={"tenant": key, "label": key}, headers=bearer(key))
        refused = await http.get("/v1/models", headers={"Authorization": keys[0], "x-api-key": keys[2]})
        assert keys[0] not in await refused.text() and keys[2] not in await refused.text()
    secret = (tmp_path / "keys.secret").read_bytes()
    assert len(caplog.records) > 5
    for text in [*keys, UNKNOWN, secret.hex(), repr(secret)]:
        assert text not in caplog.text
