"""The operations on manifests and on documents in files."""

from __future__ import annotations

from typing import get_args

from kvproxy.core import Visibility
from kvproxy.document_files.file_sections import MEDIA_TYPE
from kvproxy.documents.library.document import ID_PATTERN
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
from kvproxy.server.openapi.operations.document_operations import DOCUMENT_REF
from kvproxy.server.requests.query_switches import SWITCH
from kvproxy.server.routes import document_files_route, manifest_route
from kvproxy.wire.kv_documents.manifest_types import ImportEvent, KvImport, KvManifest

_TAG = "Documents"
_PATH = "/kv/v1/documents"
_SWITCH = {"type": "string", "enum": list(SWITCH)}

DOCUMENT_FILES = (
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
        parameters=(DOCUMENT_REF,),
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
        parameters=(DOCUMENT_REF,),
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
)
