"""Handlers of ``/kv/v1/keys`` and ``/kv/v1/tenants``, which need the permission to administer."""

from __future__ import annotations

import asyncio

from aiohttp import web

from kvproxy.accounts.account_values import (
    Budget,
    NewKey,
    StoredKey,
    Tenant,
    key_subject,
    tenant_subject,
)
from kvproxy.accounts.accounts import Accounts
from kvproxy.errors import InvalidRequest
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.market_access import accounts_of, make_key, market_of, read_body_of
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.kv_accounts.account_bodies import (
    MOST_SECONDS,
    KeyChangeBody,
    NewKeyBody,
    NewTenantBody,
    TenantChangeBody,
)
from kvproxy.wire.kv_accounts.account_views import (
    KvKey,
    KvKeyList,
    KvTenant,
    KvTenantList,
    kv_key,
    kv_new_key,
    kv_tenant,
)

_NOT_KEPT = {"Cache-Control": "no-store"}


async def create_key(request: web.Request) -> web.StreamResponse:
    """Make an API key; the answer alone has it."""
    body = await read_body_of(request, NewKeyBody)
    return _new_key(request, await make_key(request, body), 201)


async def list_keys(request: web.Request) -> web.StreamResponse:
    """List the API keys, without the keys themselves."""
    accounts = accounts_of(request)
    views = [_key_view(request, key) for key in accounts.keys(request.query.get("tenant"))]
    listed: KvKeyList = {"object": "list", "data": views}
    return json_response(listed)


async def change_key(request: web.Request) -> web.StreamResponse:
    """Set an API key's budgets."""
    body = await read_body_of(request, KeyChangeBody)
    accounts, id = accounts_of(request), request.match_info["key"]
    await asyncio.to_thread(_set_budgets, accounts, [b.budget(key_subject(id)) for b in body.budgets])
    return json_response(_key_view(request, accounts.key(id)))


async def revoke_key(request: web.Request) -> web.StreamResponse:
    """Refuse an API key from now on."""
    key = await asyncio.to_thread(accounts_of(request).revoke_key, request.match_info["key"])
    return json_response(_key_view(request, key))


async def rotate_key(request: web.Request) -> web.StreamResponse:
    """Make a key in place of another one, which is good until the overlap ends."""
    overlap = whole_number(request.query.get("overlap_s", "0"), MOST_SECONDS)
    if overlap is None:
        raise InvalidRequest(
            f"Invalid 'overlap_s': must be an integer of 0 to {MOST_SECONDS}.", param="overlap_s"
        )
    accounts, id = accounts_of(request), request.match_info["key"]
    new = await asyncio.to_thread(lambda: accounts.rotate_key(id, overlap_ms=1000 * overlap))
    return _new_key(request, new, 200)


async def create_tenant(request: web.Request) -> web.StreamResponse:
    """Make a tenant."""
    body = await read_body_of(request, NewTenantBody)
    accounts = accounts_of(request)
    tenant = await asyncio.to_thread(accounts.create_tenant, body.id, body.credit_limit())
    return json_response(_tenant_view(request, tenant), status=201)


async def list_tenants(request: web.Request) -> web.StreamResponse:
    """List the tenants."""
    tenants = accounts_of(request).tenants()
    listed: KvTenantList = {"object": "list", "data": [_tenant_view(request, tenant) for tenant in tenants]}
    return json_response(listed)


async def get_tenant(request: web.Request) -> web.StreamResponse:
    """Describe a tenant."""
    return json_response(_tenant_view(request, accounts_of(request).tenant(request.match_info["tenant"])))


async def change_tenant(request: web.Request) -> web.StreamResponse:
    """Set a tenant's credit and budgets, close it or open it again."""
    body = await read_body_of(request, TenantChangeBody)
    accounts, id = accounts_of(request), request.match_info["tenant"]
    accounts.tenant(id)
    await asyncio.to_thread(_change_tenant, accounts, id, body)
    return json_response(_tenant_view(request, accounts.tenant(id)))


def _change_tenant(accounts: Accounts, id: str, body: TenantChangeBody) -> None:
    credit = body.credit_limit()
    if credit is not None:
        accounts.set_credit(id, credit)
    if body.closed is not None:
        accounts.close_tenant(id, closed=body.closed)
    _set_budgets(accounts, [b.budget(tenant_subject(id)) for b in body.budgets])


def _set_budgets(accounts: Accounts, budgets: list[Budget]) -> None:
    for budget in budgets:
        accounts.set_budget(budget)


def _new_key(request: web.Request, new: NewKey, status: int) -> web.Response:
    budgets = accounts_of(request).budgets(key_subject(new.stored.id))
    return json_response(
        kv_new_key(new, budgets, market_of(request).currency), status=status, headers=_NOT_KEPT
    )


def _key_view(request: web.Request, key: StoredKey) -> KvKey:
    return kv_key(key, accounts_of(request).budgets(key_subject(key.id)), market_of(request).currency)


def _tenant_view(request: web.Request, tenant: Tenant) -> KvTenant:
    budgets = accounts_of(request).budgets(tenant_subject(tenant.id))
    return kv_tenant(tenant, budgets, market_of(request).currency)
