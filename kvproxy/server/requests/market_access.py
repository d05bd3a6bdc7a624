"""The market's parts as a route reaches them; a proxy without one answers as for an unknown URL."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.errors import RouteNotFound
from kvproxy.server.components import COMPONENTS
from kvproxy.server.market import Market
from kvproxy.server.requests.read_request import read_object
from kvproxy.wire.bodies.validation_errors import invalid

_Body = TypeVar("_Body", bound=BaseModel)


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


def grants_of(request: web.Request) -> Grants:
    """Return the grants. Raises RouteNotFound."""
    grants = market_of(request).grants
    if grants is None:
        raise _no_market(request)
    return grants


async def read_body_of(request: web.Request, kind: type[_Body]) -> _Body:
    """Read a request's body as one of a kind. Raises InvalidRequest, and what ``read_object`` raises."""
    body = await read_object(request)
    try:
        return kind.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e


def _no_market(request: web.Request) -> RouteNotFound:
    return RouteNotFound(f"Invalid URL ({request.method} {request.path}): this proxy has no market.")
