"""Handlers of the host's description, the catalog and quotes."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from pydantic import ValidationError

from kvproxy.catalog.document_catalog import MOST_PAGE, CatalogSearch
from kvproxy.catalog.host_description import well_known
from kvproxy.catalog.signed_quotes import SignedQuote
from kvproxy.errors import InvalidRequest
from kvproxy.receipts.signed_note import public_bytes, verifier_key
from kvproxy.runtime.off_loop import LARGE, off_loop_if_large
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.document_refs import resolved_ref
from kvproxy.server.requests.market_access import catalog_of, described_host, market_of, quote_maker_of
from kvproxy.server.requests.model_names import resolve_model
from kvproxy.server.requests.read_request import read_object
from kvproxy.wire.bodies.body_bounds import refuse_oversized_lists
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.market.catalog_types import QuoteBody

PAGE = 50
"""Entries of a page of the catalog where the query names no number."""


async def describe_host(request: web.Request) -> web.StreamResponse:
    """Say who the host is, with its keys and prices. Raises RouteNotFound where there is no market."""
    described, market = described_host(request), market_of(request)
    keys, now_ms = described.keys, int(time.time() * 1000)
    await asyncio.to_thread(keys.refresh)
    public = public_bytes(keys.key_at(now_ms).public)
    told = well_known(
        described.host,
        keys.jwks(),
        checkpoint_key=verifier_key(described.host.name, public),
        tariff=None if market.tariffs is None else market.tariffs.at(now_ms),
        payment_methods=[]
        if market.payments is None
        else [method.name for method in market.payments.methods],
    )
    return json_response(told, headers={"Cache-Control": "max-age=60"})


async def list_catalog(request: web.Request) -> web.StreamResponse:
    """List the documents that the caller may read. Raises InvalidRequest."""
    query = request.query
    limit = whole_number(query.get("limit", str(PAGE)), MOST_PAGE)
    if not limit:
        raise InvalidRequest(f"Invalid 'limit': must be 1 to {MOST_PAGE}.", param="limit")
    search = CatalogSearch(query.get("id"), query.get("publisher"), query.get("sha256"))
    page = await catalog_of(request).page(request[CALLER], search, after=query.get("after"), limit=limit)
    return json_response(page)


async def make_quote(request: web.Request) -> web.StreamResponse:
    """Quote a chat request, a document, or a text by its hash."""
    maker, caller = quote_maker_of(request), request[CALLER]
    body = await read_object(request)
    try:
        asked = await off_loop_if_large(
            request.content_length or LARGE, lambda: QuoteBody.model_validate(body)
        )
    except ValidationError as e:
        raise invalid(e) from e
    if sum(one is not None for one in (asked.request, asked.document, asked.sha256)) != 1:
        raise InvalidRequest("Give one of 'request', 'document' and 'sha256'.", param="request")
    if asked.document is not None:
        ref = resolved_ref(request, asked.document)
        model = None if asked.model is None else _served(request, asked.model, "model")
        quoted = await maker.of_document(ref, caller, asked.max_tokens, model)
    elif asked.sha256 is not None:
        model = None if asked.model is None else _served(request, asked.model, "model")
        quoted = await maker.of_text(asked.sha256, caller, asked.max_tokens, model)
    else:
        quoted = await _quoted_request(request, asked.request or {})
    return json_response(quoted.body)


async def _quoted_request(request: web.Request, chat: dict[str, object]) -> SignedQuote:
    """Parse the body exactly as a chat completion's, and quote it."""
    components = request.app[COMPONENTS]
    asked, models = chat.get("model"), components.pipeline.models
    named = models.primary.name
    if isinstance(asked, str) and asked:
        named = _served(request, asked, "request.model")
    refuse_oversized_lists(chat, models.named(named).max_context)
    body = {**chat, "model": named}
    parsed = await off_loop_if_large(
        request.content_length or LARGE,
        lambda: parse_chat(body, served_name=named, policy=components.policy),
    )
    return await quote_maker_of(request).of_request(parsed, request[CALLER])


def _served(request: web.Request, asked: str, param: str) -> str:
    """Return the served model that ``asked`` means. Raises ModelNotFound, and InvalidRequest for an upstream's."""
    named, served = resolve_model(request, asked), request.app[COMPONENTS].served_names
    if named not in served:
        raise InvalidRequest(
            f"'{named}' is served by an upstream, which alone can count its tokens; quoted are only: "
            f"{', '.join(served)}.",
            param=param,
        )
    return named
