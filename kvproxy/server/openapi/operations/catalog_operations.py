"""The operations by which a reader finds a host, its documents and their prices."""

from __future__ import annotations

from kvproxy.catalog.document_catalog import MOST_PAGE
from kvproxy.catalog.host_description import WELL_KNOWN
from kvproxy.errors import (
    ContextTooLong,
    InvalidRequest,
    NotReady,
    PermissionDenied,
    RouteNotFound,
)
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.error_groups import PROMPT
from kvproxy.server.routes import catalog_route
from kvproxy.wire.market.catalog_types import KvCatalog, QuoteBody, WellKnown
from kvproxy.wire.market.quote_types import KvQuote

_TAG = "Market"
_PATH = "/kv/v1/catalog"
_TEXT = {"type": "string", "minLength": 1, "maxLength": 256}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST_PAGE, "default": catalog_route.PAGE}

CATALOG = (
    Operation(
        id="describeHost",
        method="GET",
        path=WELL_KNOWN,
        handler=catalog_route.describe_host,
        tag=_TAG,
        summary="Describe the host",
        description="Who it is, its public keys as JWKS, its model with engine fingerprint and prices, its addresses.",
        answers=(DocumentedAnswer(WellKnown, description="The host."),),
        errors=(RouteNotFound,),
        open=True,
    ),
    Operation(
        id="listCatalog",
        method="GET",
        path=_PATH,
        handler=catalog_route.list_catalog,
        needs="read",
        tag=_TAG,
        summary="List the documents on offer",
        description=(
            "Public documents, and those that this API key has a grant for, with the price of a read, its publisher, "
            "its licence, its reads, and what the last verification measured. No private document."
        ),
        parameters=(
            Parameter("id", "query", _TEXT, "The beginning of the document's id.", "hand"),
            Parameter("publisher", "query", _TEXT, "The publisher.", "acme"),
            Parameter("sha256", "query", _TEXT, "The sha256 of a text, hex.", "0" * 64),
            Parameter("after", "query", _TEXT, "The `next` of the page before.", "handbook@3"),
            Parameter("limit", "query", _LIMIT, "Entries of a page.", "20"),
        ),
        answers=(DocumentedAnswer(KvCatalog, description="A page of the catalog."),),
        errors=(InvalidRequest, RouteNotFound),
    ),
    Operation(
        id="createQuote",
        method="POST",
        path="/kv/v1/quote",
        handler=catalog_route.make_quote,
        needs="read",
        tag=_TAG,
        summary="Quote a request, a document or a text",
        description=(
            "The tokens that it would have, those of them that are kept now, and its price as it is kept now and cold; "
            "nothing is generated. The quote is signed; sent with a request as `x-kvproxy-quote` before it expires, "
            "its prices are honoured once, whatever is valid by then."
        ),
        body=QuoteBody,
        answers=(DocumentedAnswer(KvQuote, description="The quote."),),
        errors=(*PROMPT, ContextTooLong, NotReady, PermissionDenied, RouteNotFound),
        example={"document": "handbook@1", "max_tokens": 200},
    ),
)
