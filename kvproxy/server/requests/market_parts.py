"""Receipts, catalog and quotes as a route reaches them; a proxy without them answers as for an unknown URL."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web

from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.quote_desk import QuoteDesk
from kvproxy.errors import RouteNotFound
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.server.components import COMPONENTS
from kvproxy.server.market import Market

_Part = TypeVar("_Part")


def whole_market(request: web.Request) -> Market:
    """Return the market. Raises RouteNotFound."""
    return _there(request, request.app[COMPONENTS].market)


def receipts_of(request: web.Request) -> Receipts:
    """Return the receipts. Raises RouteNotFound."""
    return _there(request, whole_market(request).receipts)


def catalog_of(request: web.Request) -> Catalog:
    """Return the catalog. Raises RouteNotFound."""
    return _there(request, whole_market(request).catalog)


def desk_of(request: web.Request) -> QuoteDesk:
    """Return the desk that makes quotes. Raises RouteNotFound."""
    return _there(request, whole_market(request).desk)


def _there(request: web.Request, part: _Part | None) -> _Part:
    if part is None:
        raise RouteNotFound(f"Invalid URL ({request.method} {request.path}): this proxy has no market.")
    return part
