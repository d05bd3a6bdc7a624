"""Handlers of ``/kv/v1/grants``: a publisher lets readers load its own documents by reference."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiohttp import web

from kvproxy.accounts.account_values import shown_id
from kvproxy.accounts.grant_values import Grant
from kvproxy.errors import AccountNotFound, InvalidRequest
from kvproxy.server.components import CALLER
from kvproxy.server.market import Market
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.market_access import grants_of, market_of, read_body_of
from kvproxy.tariffs.terms_text import parse_terms
from kvproxy.wire.kv_accounts.account_bodies import NewGrantBody
from kvproxy.wire.kv_accounts.account_views import KvGrantList, kv_grant


async def create_grant(request: web.Request) -> web.StreamResponse:
    """Grant a document of the caller's own."""
    body = await read_body_of(request, NewGrantBody)
    grants, market = grants_of(request), market_of(request)
    wanted = body.grant(request[CALLER].name)
    if body.price is not None:
        wanted = replace(wanted, terms=await _keep_price(market, wanted, body.price))
    grant = await asyncio.to_thread(grants.create, wanted)
    return json_response(kv_grant(grant, market.currency), status=201)


async def list_grants(request: web.Request) -> web.StreamResponse:
    """List the grants that the caller has made."""
    currency = market_of(request).currency
    found = grants_of(request).list(request[CALLER].name)
    listed: KvGrantList = {"object": "list", "data": [kv_grant(grant, currency) for grant in found]}
    return json_response(listed)


async def revoke_grant(request: web.Request) -> web.StreamResponse:
    """End a grant of the caller's own, for all reads that begin from now on."""
    grants, id = grants_of(request), request.match_info["grant"]
    if grants.get(id).publisher != request[CALLER].name:
        # As for one that is not there: nobody finds out what another publisher has granted.
        raise AccountNotFound(f"There is no grant with the id '{shown_id(id)}'.", param="grant")
    grant = await asyncio.to_thread(grants.revoke, id)
    return json_response(kv_grant(grant, market_of(request).currency))


async def _keep_price(market: Market, grant: Grant, price: str) -> str:
    """Record a grant's own price, split as the document's is, and return the id of its terms. Raises InvalidRequest."""
    if market.terms is None:
        raise InvalidRequest(
            "This proxy has no tariff, so reads cost nothing. Leave the price out.", param="price"
        )
    try:
        own = market.terms.terms(grant.document, grant.publisher)
        terms = parse_terms(price, publisher_ppm=own.publisher_ppm, text_readers=own.text_readers)
    except ValueError as e:
        raise InvalidRequest(f"Invalid 'price': {e}.", param="price") from e
    kept: str = await asyncio.to_thread(market.terms.keep, terms)
    return kept
