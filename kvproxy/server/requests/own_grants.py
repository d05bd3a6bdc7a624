"""`make_grant` and `revoke_own_grant`: a publisher's grants of its own documents, for the API and for forms alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiohttp import web

from kvproxy.accounts.account_values import shown_id
from kvproxy.accounts.grant_values import Grant
from kvproxy.errors import AccountNotFound, InvalidRequest
from kvproxy.server.components import CALLER
from kvproxy.server.market import Market
from kvproxy.server.requests.market_access import grants_of, market_of
from kvproxy.tariffs.terms_text import parse_terms
from kvproxy.wire.kv_accounts.account_bodies import NewGrantBody


async def make_grant(request: web.Request, body: NewGrantBody) -> Grant:
    """Grant a document of the caller's own. Raises InvalidRequest.

    Example: ``grant = await make_grant(request, await read_body_of(request, NewGrantBody))``
    """
    grants, market = grants_of(request), market_of(request)
    wanted = body.grant(request[CALLER].name)
    if body.price is not None:
        wanted = replace(wanted, terms=await _keep_price(market, wanted, body.price))
    return await asyncio.to_thread(grants.create, wanted)


async def revoke_own_grant(request: web.Request, id: str) -> Grant:
    """End a grant of the caller's own, for all reads that begin from now on. Raises AccountNotFound.

    Example: ``grant = await revoke_own_grant(request, request.match_info["grant"])``
    """
    grants = grants_of(request)
    if grants.get(id).publisher != request[CALLER].name:
        # As for one that is not there: nobody finds out what another publisher has granted.
        raise AccountNotFound(f"There is no grant with the id '{shown_id(id)}'.", param="grant")
    return await asyncio.to_thread(grants.revoke, id)


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
