"""Prices of documents in requests, read by the market of this proxy."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import RouteNotFound
from kvproxy.granting.document_pricing import AskedPrice, DocumentPricing
from kvproxy.server.components import COMPONENTS
from kvproxy.tariffs.document_terms import DocumentTerms
from kvproxy.wire.kv_documents.price_bodies import PriceBody


def asked_price(price: PriceBody) -> AskedPrice:
    """Return a price as it was written."""
    return AskedPrice(price.kind, price.share, price.per_1000, price.publisher_share, price.text_readers)


def terms_of_body(request: web.Request, price: PriceBody | None) -> DocumentTerms | None:
    """Return the terms of a document that is about to be published: a wrong price costs no prefill. Raises
    InvalidRequest, and RouteNotFound where there is no market."""
    if price is None:
        return None
    return pricing_of(request).terms(asked_price(price))


def pricing_of(request: web.Request) -> DocumentPricing:
    """Return the setting of prices. Raises RouteNotFound where there is no market."""
    market = request.app[COMPONENTS].market
    if market is None or market.terms is None or market.tariffs is None:
        raise RouteNotFound("There is no market here: this proxy has no database of prices.")
    return DocumentPricing(market.terms, market.tariffs)
