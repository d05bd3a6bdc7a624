"""The market's parts as a route reaches them; a proxy without one answers as for an unknown URL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from kvproxy.accounts.account_values import NewKey
from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.host_description import MarketHost
from kvproxy.catalog.quote_maker import QuoteMaker
from kvproxy.core import DocumentRef
from kvproxy.documents.library.document_info import Verification
from kvproxy.errors import PermissionDenied, RouteNotFound
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.market import Market
from kvproxy.server.requests.read_request import read_object
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.kv_accounts.account_bodies import NewKeyBody

_Body = TypeVar("_Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class DescribedHost:
    """The host, and the keys that it is known by."""

    host: MarketHost
    keys: HostKeys


def market_of(request: web.Request) -> Market:
    """Return the market. Raises RouteNotFound."""
    market = request.app[COMPONENTS].market
    if market is None:
        raise _no_market(request)
    return market


def accounts_of(request: web.Request) -> Accounts:
    """Return the accounts. Raises RouteNotFound."""
    accounts = market_of(request).accounts
    if accounts is None:
        raise _no_market(request)
    return accounts


async def make_key(request: web.Request, body: NewKeyBody) -> NewKey:
    """Make an API key. Raises PermissionDenied on a proxy that is open to everybody, InvalidRequest, AccountNotFound.

    Example: ``new = await make_key(request, await read_body_of(request, NewKeyBody))``
    """
    accounts = accounts_of(request)
    if request[CALLER].key is None:
        # On a proxy that is open to everybody, whoever came first would lock all others out.
        raise PermissionDenied(
            "The first API key is made on the proxy's own machine: kvproxy keys create NAME --scope admin"
        )
    return await asyncio.to_thread(accounts.create_key, body.order())


def grants_of(request: web.Request) -> Grants:
    """Return the grants. Raises RouteNotFound."""
    grants = market_of(request).grants
    if grants is None:
        raise _no_market(request)
    return grants


def receipts_of(request: web.Request) -> Receipts:
    """Return the receipts. Raises RouteNotFound."""
    receipts = market_of(request).receipts
    if receipts is None:
        raise _no_market(request)
    return receipts


def catalog_of(request: web.Request) -> Catalog:
    """Return the catalog. Raises RouteNotFound."""
    catalog = market_of(request).catalog
    if catalog is None:
        raise _no_market(request)
    return catalog


def quote_maker_of(request: web.Request) -> QuoteMaker:
    """Return what makes quotes. Raises RouteNotFound."""
    maker = market_of(request).quote_maker
    if maker is None:
        raise _no_market(request)
    return maker


def described_host(request: web.Request) -> DescribedHost:
    """Return the host and its keys. Raises RouteNotFound."""
    market = market_of(request)
    if market.host is None or market.host_keys is None:
        raise _no_market(request)
    return DescribedHost(market.host, market.host_keys)


async def note_verification(request: web.Request, ref: DocumentRef, found: Sequence[Verification]) -> None:
    """Let the catalog show what a verification has measured; nothing where there is no catalog.

    Example: ``await note_verification(request, DocumentRef("handbook", 3), verifications)``
    """
    market = request.app[COMPONENTS].market
    if market is not None and market.catalog is not None:
        await market.catalog.note_verification(request[CALLER], ref, found)


async def read_body_of(request: web.Request, kind: type[_Body]) -> _Body:
    """Read a request's body as one of a kind. Raises InvalidRequest, and what ``read_object`` raises."""
    body = await read_object(request)
    try:
        return kind.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e


def _no_market(request: web.Request) -> RouteNotFound:
    return RouteNotFound(f"Invalid URL ({request.method} {request.path}): this proxy has no market.")
