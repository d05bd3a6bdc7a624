"""Handlers of ``/kv/v1/grants``: a publisher lets readers load its own documents by reference."""

from __future__ import annotations

from aiohttp import web

from kvproxy.server.components import CALLER
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.market_access import grants_of, market_of, read_body_of
from kvproxy.server.requests.own_grants import make_grant, revoke_own_grant
from kvproxy.wire.kv_accounts.account_bodies import NewGrantBody
from kvproxy.wire.kv_accounts.account_views import KvGrantList, kv_grant


async def create_grant(request: web.Request) -> web.StreamResponse:
    """Grant a document of the caller's own."""
    grant = await make_grant(request, await read_body_of(request, NewGrantBody))
    return json_response(kv_grant(grant, market_of(request).currency), status=201)


async def list_grants(request: web.Request) -> web.StreamResponse:
    """List the grants that the caller has made."""
    currency = market_of(request).currency
    found = grants_of(request).list(request[CALLER].name)
    listed: KvGrantList = {"object": "list", "data": [kv_grant(grant, currency) for grant in found]}
    return json_response(listed)


async def revoke_grant(request: web.Request) -> web.StreamResponse:
    """End a grant of the caller's own, for all reads that begin from now on."""
    grant = await revoke_own_grant(request, request.match_info["grant"])
    return json_response(kv_grant(grant, market_of(request).currency))
