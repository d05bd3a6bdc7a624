"""The operations on documents: publish, list, get, verify, delete."""

from __future__ import annotations

from kvproxy.core import NAMEABLE_ID
from kvproxy.documents.library.document_info import GREEDY_TOKENS
from kvproxy.errors import (
    AccountNotFound,
    CannotFit,
    ContextTooLong,
    DocumentExpired,
    DocumentNotFound,
    DocumentQuotaExceeded,
    DocumentRejected,
    DocumentRevoked,
    InvalidRequest,
    ModelNotFound,
    NotReady,
    Overloaded,
    PermissionDenied,
    PreconditionFailed,
    RouteNotFound,
    StorageFull,
    Unavailable,
)
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.common_headers import (
    IF_MATCH,
    IF_NONE_MATCH,
    IF_NONE_MATCH_ANY,
    UNCHANGED,
)
from kvproxy.server.openapi.operations.error_groups import BODY
from kvproxy.server.requests.query_switches import SWITCH
from kvproxy.server.routes import documents_route, terms_route
from kvproxy.wire.kv_documents.document_bodies import PublishBody
from kvproxy.wire.kv_documents.document_ref import REF_PATTERN
from kvproxy.wire.kv_documents.document_types import (
    KvDocument,
    KvDocumentDeleted,
    KvDocumentList,
    KvVerification,
    PublishEvent,
    PublishResult,
    VerifyEvent,
)
from kvproxy.wire.kv_documents.price_bodies import KvTerms, TermsChangeBody

_TAG = "Documents"
_PATH = "/kv/v1/documents"
_SWITCH = {"type": "string", "enum": list(SWITCH)}
_TOKENS = {
    "type": "integer",
    "minimum": 1,
    "maximum": documents_route.MOST_TOKENS,
    "default": GREEDY_TOKENS,
}
_IDS = {"type": "integer", "minimum": 1, "maximum": documents_route.MOST_IDS}
DOCUMENT_REF = Parameter(
    "document",
    "path",
    {"type": "string", "pattern": REF_PATTERN},
    "A document's id, `handbook`, or one version of it: `handbook@3`, `handbook@stable` by an alias.",
    "handbook",
    slashes=True,
)

_ENDED = (DocumentRevoked, DocumentExpired)
"""Errors of a reference to what is not served any more."""

_ID = Parameter(
    "document",
    "path",
    {"type": "string", "pattern": f"^{NAMEABLE_ID}$"},
    "A document's id. Terms are those of all its versions.",
    "handbook",
    slashes=True,
)

DOCUMENTS = (
    Operation(
        id="publishDocument",
        method="POST",
        path=_PATH,
        handler=documents_route.publish,
        needs="publish",
        tag=_TAG,
        summary="Publish a document",
        description=(
            "Computes the document's KV, keeps it, and then answers. With `stream` (or `Accept: text/event-stream`) "
            "the answer is a sequence of `progress` events, then `result` or `error`."
        ),
        body=PublishBody,
        parameters=(
            Parameter("stream", "query", _SWITCH, "Send progress events.", "true"),
            IF_MATCH,
            IF_NONE_MATCH_ANY,
        ),
        answers=(
            DocumentedAnswer(
                PublishResult, 200, "The current version already has this text.", sometimes=("ETag",)
            ),
            DocumentedAnswer(PublishResult, 201, "A new version was published.", ("ETag",)),
        ),
        events=PublishEvent,
        errors=(
            RouteNotFound,
            *BODY,
            DocumentRejected,
            ContextTooLong,
            CannotFit,
            PermissionDenied,
            DocumentQuotaExceeded,
            PreconditionFailed,
            Overloaded,
            NotReady,
            StorageFull,
            Unavailable,
        ),
        example={"id": "handbook", "text": "Everyone has 25 days of leave.", "visibility": "public"},
    ),
    Operation(
        id="listDocuments",
        method="GET",
        path=_PATH,
        handler=documents_route.list_documents,
        needs="read",
        tag=_TAG,
        summary="List the documents",
        parameters=(
            Parameter("learned", "query", _SWITCH, "Only those that were learned from requests.", "true"),
            Parameter(
                "tenant",
                "query",
                {"type": "string"},
                "With `learned`: the tenant whose they are, for an admin. Default: the caller's own.",
                "acme",
            ),
            Parameter(
                "limit",
                "query",
                _IDS,
                "All versions of at most so many ids. Default: of all; with `after`, of 1,000.",
                "100",
            ),
            Parameter(
                "after", "query", {"type": "string"}, "Only ids behind this one, in their order.", "handbook"
            ),
        ),
        answers=(DocumentedAnswer(KvDocumentList, description="The documents that this API key may read."),),
        errors=(InvalidRequest, PermissionDenied, AccountNotFound),
    ),
    Operation(
        id="retrieveTerms",
        method="GET",
        path=f"{_PATH}/{{document}}/terms",
        handler=terms_route.get_terms,
        needs="read",
        tag=_TAG,
        summary="Get a document's terms",
        description=(
            "What a read of the document costs on top of the host's price of a cached token, now and from the "
            "beginning. A change never touches the price of what was read before it."
        ),
        parameters=(_ID,),
        answers=(DocumentedAnswer(KvTerms, description="The terms, and all earlier ones."),),
        errors=(InvalidRequest, PermissionDenied, DocumentNotFound, RouteNotFound),
    ),
    Operation(
        id="setTerms",
        method="POST",
        path=f"{_PATH}/{{document}}/terms",
        handler=terms_route.set_terms,
        needs="publish",
        tag=_TAG,
        summary="Set a document's terms from now on",
        body=TermsChangeBody,
        parameters=(_ID,),
        answers=(DocumentedAnswer(KvTerms, description="The terms, and all earlier ones."),),
        errors=(*BODY, PermissionDenied, DocumentNotFound, RouteNotFound, Unavailable),
        example={"price": {"kind": "share", "share": "25%"}, "licence": "Answers may be published."},
    ),
    Operation(
        id="retrieveDocument",
        method="GET",
        path=f"{_PATH}/{{document}}",
        handler=documents_route.get_document,
        needs="read",
        tag=_TAG,
        summary="Get a document",
        parameters=(
            DOCUMENT_REF,
            Parameter("text", "query", _SWITCH, "Include the text in the answer.", "true"),
            IF_NONE_MATCH,
            IF_MATCH,
        ),
        answers=(
            DocumentedAnswer(KvDocument, description="The document.", headers=("ETag",)),
            UNCHANGED,
        ),
        errors=(InvalidRequest, PermissionDenied, DocumentNotFound, *_ENDED, PreconditionFailed),
    ),
    Operation(
        id="verifyDocument",
        method="POST",
        path=f"{_PATH}/{{document}}/verify",
        handler=documents_route.verify_document,
        needs="publish",
        tag=_TAG,
        summary="Compare hits with prefills from scratch",
        description=(
            "Compares every position's logits, every kept page and the greedy answer, cut at each page. Takes about "
            "two cold prefills for each framing; other requests go first. A document with differing pages goes into "
            "quarantine: from then on its readers are misses. Verifying a document in quarantine prefills it anew, and "
            "releases it when all comparisons are exact. With `stream` the answer is a sequence of `progress` events, "
            "then `result` or `error`."
        ),
        parameters=(
            DOCUMENT_REF,
            Parameter(
                "tokens",
                "query",
                _TOKENS,
                "The number of tokens of the greedy answers to compare.",
                str(GREEDY_TOKENS),
            ),
            Parameter(
                "model",
                "query",
                {"type": "string"},
                "The served model whose hits are compared. Default: the first. Of a fleet two answers of one replica "
                "are compared, from cached blocks and computed, and their agreement is told: nothing is exact, and "
                "nothing goes into quarantine.",
                "qwen3-4b",
            ),
            Parameter("stream", "query", _SWITCH, "Send progress events.", "true"),
        ),
        answers=(DocumentedAnswer(KvVerification, description="The comparisons, and their differences."),),
        events=VerifyEvent,
        errors=(
            InvalidRequest,
            ContextTooLong,
            CannotFit,
            DocumentNotFound,
            ModelNotFound,
            *_ENDED,
            Overloaded,
            NotReady,
            StorageFull,
            Unavailable,
        ),
    ),
    Operation(
        id="deleteDocument",
        method="DELETE",
        path=f"{_PATH}/{{document}}",
        handler=documents_route.delete_document,
        needs="publish",
        tag=_TAG,
        summary="Delete a document, or one version",
        parameters=(DOCUMENT_REF, IF_MATCH),
        answers=(DocumentedAnswer(KvDocumentDeleted, description="The document and its pages are deleted."),),
        errors=(
            InvalidRequest,
            PermissionDenied,
            DocumentNotFound,
            *_ENDED,
            PreconditionFailed,
            StorageFull,
            Unavailable,
        ),
    ),
)
