"""The operations on a version's life: touch, revoke, aliases."""

from __future__ import annotations

from kvproxy.core import NAMEABLE_ID
from kvproxy.errors import (
    CannotFit,
    ContextTooLong,
    DocumentExpired,
    DocumentNotFound,
    DocumentRejected,
    DocumentRevoked,
    InvalidRequest,
    NotReady,
    Overloaded,
    PermissionDenied,
    PreconditionFailed,
    StorageFull,
    Unavailable,
)
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.common_headers import IF_MATCH, IF_NONE_MATCH_ANY
from kvproxy.server.openapi.operations.document_operations import DOCUMENT_REF
from kvproxy.server.openapi.operations.error_groups import BODY
from kvproxy.server.routes import versions_route
from kvproxy.wire.kv_documents.document_ref import ALIAS
from kvproxy.wire.kv_documents.document_types import KvDocument, KvDocumentDeleted
from kvproxy.wire.kv_documents.version_bodies import (
    AliasBody,
    KvAlias,
    KvAliasDeleted,
    KvRevoked,
    RevokeBody,
    TouchBody,
)

_TAG = "Documents"
_PATH = "/kv/v1/documents/{document}"
_ID = Parameter(
    "document",
    "path",
    {"type": "string", "pattern": f"^{NAMEABLE_ID}$"},
    "A document's id.",
    "handbook",
    slashes=True,
)
_ALIAS = Parameter(
    "alias",
    "path",
    {"type": "string", "pattern": f"^{ALIAS}$"},
    "The alias: it stands behind the id in `handbook@stable`. `latest` is always the current version.",
    "stable",
)
_ENDED = (DocumentRevoked, DocumentExpired)

VERSIONS = (
    Operation(
        id="touchDocument",
        method="POST",
        path=f"{_PATH}/touch",
        handler=versions_route.touch_document,
        needs="publish",
        tag=_TAG,
        summary="Set when a version ends",
        description=(
            "From its end on a version is not served any more (410 `document_expired`), and it is deleted after "
            "`documents.expiry_grace_s`. Until then the same call serves it again, its KV computed anew. For the "
            "publisher alone."
        ),
        parameters=(DOCUMENT_REF,),
        body=TouchBody,
        answers=(DocumentedAnswer(KvDocument, description="The version.", headers=("ETag",)),),
        errors=(
            *BODY,
            *_ENDED,
            DocumentRejected,
            ContextTooLong,
            CannotFit,
            PermissionDenied,
            DocumentNotFound,
            Overloaded,
            NotReady,
            StorageFull,
            Unavailable,
        ),
        example={"ttl_s": 2_592_000},
    ),
    Operation(
        id="revokeDocument",
        method="POST",
        path=f"{_PATH}/revoke",
        handler=versions_route.revoke_document,
        needs="publish",
        tag=_TAG,
        summary="Never serve a version again",
        description=(
            "The version, or every one where the path names none, is not served from this moment on, not to requests "
            "that wait in the queue either: who names it gets 410 `document_revoked` with the reason, who sends its "
            "text is prefilled. Its pages are dropped, its number is not used again, the ledger stays as it is. For "
            "the publisher, and for an admin who can name it."
        ),
        parameters=(DOCUMENT_REF,),
        body=RevokeBody,
        answers=(DocumentedAnswer(KvRevoked, description="The versions that were revoked."),),
        errors=(*BODY, *_ENDED, PermissionDenied, DocumentNotFound, StorageFull, Unavailable),
        example={"reason": "withdrawn by the legal department"},
    ),
    Operation(
        id="setAlias",
        method="POST",
        path=f"{_PATH}/aliases/{{alias}}",
        handler=versions_route.set_alias,
        needs="publish",
        tag=_TAG,
        summary="Let an alias mean a version",
        description=(
            "`handbook@stable` means this version from now on, wherever a reference is: in `kv_document` parts, on the "
            "command line, in other operations. For the publisher alone."
        ),
        parameters=(_ID, _ALIAS, IF_MATCH, IF_NONE_MATCH_ANY),
        body=AliasBody,
        answers=(DocumentedAnswer(KvAlias, description="The alias.", headers=("ETag",)),),
        errors=(
            *BODY,
            *_ENDED,
            PermissionDenied,
            DocumentNotFound,
            PreconditionFailed,
            StorageFull,
            Unavailable,
        ),
        example={"version": 1},
    ),
    Operation(
        id="deleteAlias",
        method="DELETE",
        path=f"{_PATH}/aliases/{{alias}}",
        handler=versions_route.delete_alias,
        needs="publish",
        tag=_TAG,
        summary="Remove an alias",
        parameters=(_ID, _ALIAS, IF_MATCH),
        answers=(DocumentedAnswer(KvAliasDeleted | KvDocumentDeleted, description="The alias is removed."),),
        errors=(
            InvalidRequest,
            PermissionDenied,
            DocumentNotFound,
            PreconditionFailed,
            StorageFull,
            Unavailable,
        ),
    ),
)
