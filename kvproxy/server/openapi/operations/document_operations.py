"""The operations on documents: publish, list, get, verify, delete."""

from __future__ import annotations

from typing import get_args

from kvproxy.core import NAMEABLE_ID, Visibility
from kvproxy.document_files.file_sections import MEDIA_TYPE
from kvproxy.documents.library.document import ID_PATTERN
from kvproxy.documents.library.document_info import GREEDY_TOKENS
from kvproxy.errors import (
    CannotFit,
    ContextTooLong,
    DocumentNotFound,
    DocumentRejected,
    InvalidRequest,
    NotReady,
    Overloaded,
    PermissionDenied,
    RouteNotFound,
    SignatureRefused,
    StorageFull,
    Unavailable,
    UnreadableBody,
    UnsupportedEncoding,
)
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.common_headers import IF_NONE_MATCH, UNCHANGED
from kvproxy.server.openapi.operations.error_groups import BODY
from kvproxy.server.routes import document_files_route, documents_route, manifest_route, terms_route
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
from kvproxy.wire.kv_documents.manifest_types import ImportEvent, KvImport, KvManifest
from kvproxy.wire.kv_documents.price_bodies import KvTerms, TermsChangeBody

_TAG = "Documents"
_PATH = "/kv/v1/documents"
_SWITCH = {"type": "string", "enum": list(documents_route.SWITCH)}
_TOKENS = {
    "type": "integer",
    "minimum": 1,
    "maximum": documents_route.MOST_TOKENS,
    "default": GREEDY_TOKENS,
}
_REF = Parameter(
    "document",
    "path",
    {"type": "string", "pattern": REF_PATTERN},
    "A document's id, `handbook`, or one version of it, `handbook@3`.",
    "handbook",
    slashes=True,
)

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
        parameters=(Parameter("stream", "query", _SWITCH, "Send progress events.", "true"),),
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
            Overloaded,
            NotReady,
            StorageFull,
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
        answers=(DocumentedAnswer(KvDocumentList, description="The documents that this API key may read."),),
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
        errors=(*BODY, PermissionDenied, DocumentNotFound, RouteNotFound),
        example={"price": {"kind": "share", "share": "25%"}, "licence": "Answers may be published."},
    ),
    Operation(
        id="retrieveManifest",
        method="GET",
        path=f"{_PATH}/{{document}}/manifest",
        handler=manifest_route.get_manifest,
        needs="read",
        tag=_TAG,
        summary="Get a version's signed manifest",
        description=(
            "The host's signed statement on the version: text, tokens, engine, page digests, terms, and what the last "
            "verification has measured. With `Accept: application/jose` the answer is the compact JWS alone."
        ),
        parameters=(_REF,),
        answers=(
            DocumentedAnswer(
                KvManifest, 200, "The manifest and its signature.", ("Vary",), also=manifest_route.JOSE
            ),
        ),
        errors=(InvalidRequest, PermissionDenied, DocumentNotFound, RouteNotFound, Unavailable),
    ),
    Operation(
        id="exportDocument",
        method="GET",
        path=f"{_PATH}/{{document}}/export",
        handler=document_files_route.export_document,
        needs="publish",
        tag=_TAG,
        summary="Export a version with its pages as a file",
        description=(
            "The signed manifest, the text and every page, as docs/manifests.md describes. A file that ends early "
            "is refused by every importer."
        ),
        parameters=(_REF,),
        answers=(DocumentedAnswer(bytes, 200, "The file.", ("Content-Disposition",), content=MEDIA_TYPE),),
        errors=(
            InvalidRequest,
            DocumentRejected,
            PermissionDenied,
            DocumentNotFound,
            RouteNotFound,
            Unavailable,
        ),
    ),
    Operation(
        id="importDocument",
        method="POST",
        path=f"{_PATH}/import",
        handler=document_files_route.import_document,
        needs="publish",
        tag=_TAG,
        summary="Import a document from a file",
        description=(
            "The body is a file that another host, or this one, has exported. Its signature must be that of a trusted "
            "host; text and pages must have the digests that were signed; some pages are computed again and compared "
            "to the bit before anything is served. Pages of an engine with other bits are left out, and the answer "
            "names what differs. With `stream` the answer is a sequence of `progress` events, then `result` or `error`."
        ),
        upload=MEDIA_TYPE,
        parameters=(
            Parameter(
                "id",
                "query",
                {"type": "string", "pattern": ID_PATTERN},
                "Publish it under this id.",
                "handbook",
            ),
            Parameter(
                "visibility",
                "query",
                {"type": "string", "enum": list(get_args(Visibility))},
                "As for a publish; never taken from the file.",
                "private",
            ),
            Parameter(
                "pages",
                "query",
                {"type": "string", "enum": list(document_files_route.PAGES), "default": "auto"},
                "`auto`: the file's pages where they fit this engine, else the text alone; `required`: an error "
                "instead; `none`: the text alone.",
                "required",
            ),
            Parameter("pinned", "query", _SWITCH, "Keep its KV in memory.", "true"),
            Parameter("stream", "query", _SWITCH, "Send progress events.", "true"),
            Parameter(
                document_files_route.JWKS_HEADER,
                "header",
                {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
                "A JWKS in base64url that is trusted for this file; needs a key with the scope `admin`.",
                "eyJrZXlzIjpbXX0",
            ),
        ),
        answers=(
            DocumentedAnswer(KvImport, 200, "The current version already has this text."),
            DocumentedAnswer(KvImport, 201, "A new version was published."),
        ),
        events=ImportEvent,
        errors=(
            InvalidRequest,
            RouteNotFound,
            UnreadableBody,
            UnsupportedEncoding,
            DocumentRejected,
            SignatureRefused,
            ContextTooLong,
            CannotFit,
            PermissionDenied,
            Overloaded,
            NotReady,
            StorageFull,
            Unavailable,
        ),
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
            _REF,
            Parameter("text", "query", _SWITCH, "Include the text in the answer.", "true"),
            IF_NONE_MATCH,
        ),
        answers=(
            DocumentedAnswer(KvDocument, description="The document.", headers=("ETag",)),
            UNCHANGED,
        ),
        errors=(InvalidRequest, PermissionDenied, DocumentNotFound),
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
            _REF,
            Parameter(
                "tokens",
                "query",
                _TOKENS,
                "The number of tokens of the greedy answers to compare.",
                str(GREEDY_TOKENS),
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
            Overloaded,
            NotReady,
            StorageFull,
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
        parameters=(_REF,),
        answers=(DocumentedAnswer(KvDocumentDeleted, description="The document and its pages are deleted."),),
        errors=(InvalidRequest, PermissionDenied, DocumentNotFound, StorageFull),
    ),
)
