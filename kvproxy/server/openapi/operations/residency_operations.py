"""The operations on a document's pages in memory: pin, unpin, warm."""

from __future__ import annotations

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
    StorageFull,
)
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.document_operations import DOCUMENT_REF
from kvproxy.server.requests.query_switches import SWITCH
from kvproxy.server.routes import residency_route
from kvproxy.wire.kv_documents.residency_bodies import KvPin, KvWarm, WarmEvent

_TAG = "Documents"
_PATH = "/kv/v1/documents/{document}"
_SWITCH = {"type": "string", "enum": list(SWITCH)}
_COMPUTING = (
    InvalidRequest,
    DocumentRejected,
    ContextTooLong,
    CannotFit,
    PermissionDenied,
    DocumentNotFound,
    RouteNotFound,
    Overloaded,
    NotReady,
    StorageFull,
)

RESIDENCY = (
    Operation(
        id="pinDocument",
        method="POST",
        path=f"{_PATH}/pin",
        handler=residency_route.pin_document,
        needs="publish",
        tag=_TAG,
        summary="Keep a document's KV in memory",
        description=(
            "Brings the pages into memory, computes those that are missing, and keeps them there, also after a "
            "restart. All are pinned or none (400 `page_budget_exceeded`); with `partial` as many as the budgets "
            "leave, the first ones of each framing. For the publisher alone. The same call again changes nothing, or "
            "pins more."
        ),
        parameters=(
            DOCUMENT_REF,
            Parameter("partial", "query", _SWITCH, "Pin what fits, where not all does.", "true"),
        ),
        answers=(DocumentedAnswer(KvPin, description="What is pinned, what is not, and why."),),
        errors=_COMPUTING,
    ),
    Operation(
        id="unpinDocument",
        method="POST",
        path=f"{_PATH}/unpin",
        handler=residency_route.unpin_document,
        needs="publish",
        tag=_TAG,
        summary="Let a document's KV make room for others",
        description="Its pages stay on disk, and in memory as long as their use is worth it.",
        parameters=(DOCUMENT_REF,),
        answers=(DocumentedAnswer(KvPin, description="The pins after it: none."),),
        errors=(InvalidRequest, PermissionDenied, DocumentNotFound, RouteNotFound, StorageFull),
    ),
    Operation(
        id="warmDocument",
        method="POST",
        path=f"{_PATH}/warm",
        handler=residency_route.warm_document,
        needs="publish",
        tag=_TAG,
        summary="Bring a document's KV into memory now",
        description=(
            "Loads its pages from disk, and prefills those that are on none; nothing is generated. For the publisher "
            "alone. Other requests may need the memory again: a pin keeps it. With `stream` the answer is a sequence "
            "of `progress` events, then `result` or `error`."
        ),
        parameters=(DOCUMENT_REF, Parameter("stream", "query", _SWITCH, "Send progress events.", "true")),
        answers=(
            DocumentedAnswer(KvWarm, description="Tokens in memory before and after, loaded and computed."),
        ),
        events=WarmEvent,
        errors=_COMPUTING,
    ),
)
