"""The operation on learned documents: promote."""

from __future__ import annotations

from kvproxy.errors import (
    AccountNotFound,
    CannotFit,
    ContextTooLong,
    DocumentNotFound,
    DocumentRejected,
    NotReady,
    Overloaded,
    PermissionDenied,
    RouteNotFound,
    StorageFull,
)
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation
from kvproxy.server.openapi.operations.document_operations import DOCUMENT_REF
from kvproxy.server.openapi.operations.error_groups import BODY
from kvproxy.server.routes import learned_route
from kvproxy.wire.kv_documents.document_types import PublishResult
from kvproxy.wire.kv_documents.learned_bodies import PromoteBody

LEARNED_OPERATIONS = (
    Operation(
        id="promoteDocument",
        method="POST",
        path="/kv/v1/documents/{document}/promote",
        handler=learned_route.promote_document,
        needs="publish",
        tag="Documents",
        summary="Publish a learned document under an id of its own",
        description=(
            "What this tenant's requests kept beginning with becomes a document that is listed, priced and read by "
            "reference like any other; the learned one ends. An admin may do so for another tenant, by `tenant`."
        ),
        body=PromoteBody,
        parameters=(DOCUMENT_REF,),
        answers=(
            DocumentedAnswer(PublishResult, 200, "The current version already has this text."),
            DocumentedAnswer(PublishResult, 201, "A new version was published."),
        ),
        errors=(
            RouteNotFound,
            *BODY,
            DocumentNotFound,
            DocumentRejected,
            AccountNotFound,
            ContextTooLong,
            CannotFit,
            PermissionDenied,
            Overloaded,
            NotReady,
            StorageFull,
        ),
        example={"id": "handbook", "visibility": "private"},
    ),
)
