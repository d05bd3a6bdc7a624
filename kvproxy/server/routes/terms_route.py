"""Handlers of ``/kv/v1/documents/{document}/terms``."""

from __future__ import annotations

from aiohttp import web
from pydantic import ValidationError

from kvproxy.core import DocumentRef
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.errors import DocumentNotFound, InvalidRequest, PermissionDenied
from kvproxy.granting.document_pricing import PricedDocument, share_text
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.priced_documents import asked_price, pricing_of
from kvproxy.server.requests.read_request import read_object
from kvproxy.server.routes import documents_route
from kvproxy.tariffs.terms_rows import ChosenTerms
from kvproxy.tariffs.terms_text import format_percent
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.kv_documents.document_ref import parse_document_ref
from kvproxy.wire.kv_documents.price_bodies import KvTerms, TermsBody, TermsChangeBody
from kvproxy.wire.market.quote_types import money_body


async def get_terms(request: web.Request) -> web.StreamResponse:
    """Show the terms of a document that the caller may read, as its publisher has set them from the beginning."""
    name, library = request.match_info["document"], request.app[COMPONENTS].publisher.library
    if library.versions(f"{name}/terms", request[CALLER]):
        # A document may be called so. Its own address comes before that of another one's terms.
        return await documents_route.describe(request, DocumentRef(f"{name}/terms"))
    pricing = pricing_of(request)
    known = library.resolve(_id(name), request[CALLER], param="document")
    return json_response(_body(await pricing.priced(known.document.id, _owner(request, known))))


async def set_terms(request: web.Request) -> web.StreamResponse:
    """Set the terms of one's own document from now on. What was read before keeps its price."""
    ref, caller = _id(request.match_info["document"]), request[CALLER]
    body = await read_object(request)
    try:
        wanted = TermsChangeBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e
    pricing = pricing_of(request)
    terms = pricing.terms(asked_price(wanted.price))
    known = request.app[COMPONENTS].publisher.library.resolve(ref, caller, param="document")
    if known.document.owner_scope != caller.scope:
        raise PermissionDenied(f"Only the publisher of '{ref.id}' can set its terms.")
    await pricing.choose(ref.id, caller.name, terms, wanted.licence)
    if (manifests := request.app[COMPONENTS].publisher.manifests) is not None:
        await manifests.renew_own(ref.id, caller)
    return json_response(_body(await pricing.priced(ref.id, caller.name)))


def _id(name: str) -> DocumentRef:
    ref = parse_document_ref(name, param="document")
    if ref.version is not None or ref.alias is not None:
        raise InvalidRequest(f"Terms are those of all versions: write '{ref.id}'.", param="document")
    return ref


def _owner(request: web.Request, known: KnownDocument) -> str:
    caller = request[CALLER]
    if known.document.owner_scope == caller.scope:
        return caller.name
    name = request.app[COMPONENTS].publisher.library.rights.publisher(known.document.owner_scope)
    if not name:
        raise DocumentNotFound(known.document.id)
    return name


def _body(priced: PricedDocument) -> KvTerms:
    currency = priced.currency
    return {
        "object": "kv_terms",
        "document": priced.document,
        "publisher": priced.publisher,
        "current": None if priced.current is None else _terms_body(priced.current, currency),
        "history": [_terms_body(chosen, currency) for chosen in priced.history],
    }


def _terms_body(chosen: ChosenTerms, currency: str) -> TermsBody:
    terms = chosen.terms
    return {
        "id": terms.id,
        "kind": terms.kind,
        "share": share_text(terms),
        "per_1000": money_body(terms.nano_per_1000, currency) if terms.kind == "fixed" else None,
        "publisher_share": format_percent(terms.publisher_ppm),
        "text_readers": terms.text_readers,
        "licence": chosen.licence,
        "valid_from_ms": chosen.valid_from_ms,
    }
