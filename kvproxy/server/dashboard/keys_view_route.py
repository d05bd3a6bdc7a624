"""Handlers of "Readers and keys": tenants and API keys for an admin, and the readers of own documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from kvproxy.core import ALL_PERMISSIONS
from kvproxy.dashboard.views.keys_view import KeysView, grant_rows, key_rows, tenant_rows
from kvproxy.dashboard.views.row_pages import page_of
from kvproxy.errors import InvalidRequest, KVProxyError, RouteNotFound
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_access import read_form
from kvproxy.server.dashboard.dashboard_answer import done_answer, scope_of, view_answer
from kvproxy.server.requests.market_access import accounts_of, make_key, market_of
from kvproxy.server.requests.own_grants import make_grant, revoke_own_grant
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.kv_accounts.account_bodies import NewGrantBody, NewKeyBody, NewTenantBody

KEYS = "/ui/keys"
DAY_S = 86_400
MOST_DAYS = 36_500

_Body = TypeVar("_Body", bound=BaseModel)


async def keys(request: web.Request) -> web.StreamResponse:
    """Show keys, tenants and grants, each to whom it concerns."""
    return _answer(request)


async def create_key(request: web.Request) -> web.StreamResponse:
    """Make an API key, and show it once: the answer alone has it."""
    form = await read_form(request)
    try:
        scopes = [scope for scope in sorted(ALL_PERMISSIONS) if f"scope_{scope}" in form]
        if not scopes:
            raise InvalidRequest(
                "Choose at least one scope: a key without one may do nothing.", param="scopes"
            )
        wanted = {"tenant": form.get("tenant", ""), "scopes": scopes, **_filled(form, "label"), **_days(form)}
        new = await make_key(request, _body(NewKeyBody, wanted))
    except KVProxyError as e:
        return _answer(request, form, "key", e)
    # No redirect: the key would have to be kept somewhere until the next request.
    return view_answer(request, "new_key.html", {"key": new.text, "stored": new.stored})


async def revoke_key(request: web.Request) -> web.StreamResponse:
    """Refuse an API key from now on."""
    key = await asyncio.to_thread(accounts_of(request).revoke_key, request.match_info["key"])
    return done_answer(request, f"The key {key.hint} of {key.tenant} is revoked.", KEYS)


async def create_tenant(request: web.Request) -> web.StreamResponse:
    """Make a tenant."""
    form = await read_form(request)
    try:
        body = _body(NewTenantBody, {"id": form.get("id", ""), **_filled(form, "credit")})
        tenant = await asyncio.to_thread(accounts_of(request).create_tenant, body.id, body.credit_limit())
    except KVProxyError as e:
        return _answer(request, form, "tenant", e)
    return done_answer(request, f"The tenant {tenant.id} is made; give it a key.", KEYS)


async def close_tenant(request: web.Request) -> web.StreamResponse:
    """Refuse all keys of a tenant from now on, or accept them again."""
    form, name = await read_form(request), request.match_info["tenant"]
    closed = form.get("closed") == "true"
    if closed and name == request[CALLER].name:
        raise InvalidRequest(
            "This is your own tenant: closing it would lock you out. Close it with another tenant's key, or by "
            "`kvproxy tenants close` beside the proxy."
        )
    await asyncio.to_thread(lambda: accounts_of(request).close_tenant(name, closed=closed))
    told = "closed: all its keys are refused" if closed else "open again"
    return done_answer(request, f"The tenant {name} is {told}.", KEYS)


async def create_grant(request: web.Request) -> web.StreamResponse:
    """Grant a document of the caller's own."""
    form = await read_form(request)
    try:
        wanted: dict[str, Any] = {
            "document": form.get("document", ""),
            "reader": form.get("reader", ""),
            **_filled(form, "id", "price", "max_amount"),
            **{name: _whole(form[name]) for name in ("max_reads", "max_tokens") if form.get(name)},
            **_days(form),
        }
        grant = await make_grant(request, _body(NewGrantBody, wanted))
    except KVProxyError as e:
        return _answer(request, form, "grant", e)
    reader = "everybody" if grant.reader is None else grant.reader
    return done_answer(request, f"{grant.document} is granted to {reader}.", f"{KEYS}#grants")


async def revoke_grant(request: web.Request) -> web.StreamResponse:
    """End a grant of the caller's own, for all reads that begin from now on."""
    grant = await revoke_own_grant(request, request.match_info["grant"])
    return done_answer(request, f"The grant of {grant.document} is revoked.", f"{KEYS}#grants")


def _answer(
    request: web.Request,
    form: Mapping[str, str] | None = None,
    failed: str = "",
    error: KVProxyError | None = None,
) -> web.Response:
    """Return the view; ``failed`` names the form that was not carried out, which is shown again as it was filled in."""
    shown = {
        "keys": _view(request),
        "form": dict(form or {}),
        "failed": failed,
        "fault": "" if error is None else error.message,
        "scopes": sorted(ALL_PERMISSIONS),
        "currency": market_of(request).currency,
        "open": request.app[COMPONENTS].keyring.empty,
        "caller": request[CALLER],
    }
    return view_answer(request, "keys.html", shown, status=200 if error is None else error.http_status)


def _view(request: web.Request) -> KeysView:
    market, scope, query = market_of(request), scope_of(request), request.query
    accounts, now = market.accounts, time.time()
    if accounts is None:
        raise RouteNotFound("This proxy has no accounts: its keys are those of its configuration.")
    keys = tenants = grants = None
    names: tuple[str, ...] = ()
    chosen = query.get("tenant", "")
    if scope.everyone:
        all_tenants = accounts.tenants()
        closed = frozenset(tenant.id for tenant in all_tenants if tenant.closed_ms is not None)
        stored = [(key, accounts.last_used(key.id)) for key in accounts.keys()]
        rows = key_rows(stored, request.app[COMPONENTS].keyring.configured, closed, now)
        keys = page_of([row for row in rows if chosen in ("", row.tenant)], query, param="keys")
        tenants = page_of(tenant_rows(all_tenants, rows), query, param="tenants")
        names = tuple(tenant.id for tenant in all_tenants if tenant.id not in closed)
    if market.grants is not None and scope.may("publish"):
        own = market.grants.list(request[CALLER].name)
        used = [(grant, market.grants.known_use(grant.id)) for grant in own]
        grants = page_of(grant_rows(used, now), query, param="grants")
    return KeysView(keys, tenants, grants, chosen, names)


def _body(kind: type[_Body], values: dict[str, Any]) -> _Body:
    try:
        return kind.model_validate(values)
    except ValidationError as e:
        raise invalid(e) from e


def _filled(form: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: form[name].strip() for name in names if form.get(name, "").strip()}


def _days(form: Mapping[str, str]) -> dict[str, Any]:
    """Return how long a key or a grant is to last. Raises InvalidRequest."""
    text = form.get("days", "").strip()
    if not text:
        return {}
    days = _whole(text)
    if not isinstance(days, int) or not 0 < days <= MOST_DAYS:
        raise InvalidRequest(f"Days: a whole number from 1 to {MOST_DAYS:,}, or nothing.", param="days")
    return {"expires_in_s": days * DAY_S}


def _whole(text: str) -> int | str:
    clean = text.strip()
    return int(clean) if clean.isascii() and clean.isdigit() and len(clean) < 19 else clean
