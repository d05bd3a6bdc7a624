"""The operation that explains a miss."""

from __future__ import annotations

from kvproxy.errors import (
    ContextTooLong,
    DocumentExpired,
    DocumentRevoked,
    NotReady,
    PermissionDenied,
    PreviousResponseNotFound,
    RouteNotFound,
)
from kvproxy.server.openapi.operation import LOCAL_MODEL, DocumentedAnswer, Operation
from kvproxy.server.openapi.operations.error_groups import PROMPT
from kvproxy.server.routes import explain_route
from kvproxy.wire.explanations.explanation_answer import KvExplanation
from kvproxy.wire.explanations.explanation_body import ExplainBody

EXPLAIN = (
    Operation(
        id="explainRequest",
        method="POST",
        path="/kv/v1/explain",
        handler=explain_route.explain,
        needs="read",
        tag="Service",
        summary="Explain a miss",
        description=(
            "Takes a request for the local model as it would be sent, serves and keeps nothing, and returns whether it "
            "would be a hit now, the first differing character and token beside the nearest document or the tenant's "
            "nearest earlier request, with the text around it on both sides, and the cause from a closed list. "
            "`against` names the document, `previous` asks for earlier requests alone; these are kept as token ids and "
            "digests for `explain.ttl_s`. Documents are compared only for those who may fetch their text."
        ),
        body=ExplainBody,
        answers=(DocumentedAnswer(KvExplanation, description="The comparison."),),
        errors=(
            *PROMPT,
            *(ContextTooLong, DocumentExpired, DocumentRevoked, NotReady, PermissionDenied),
            *(PreviousResponseNotFound, RouteNotFound),
        ),
        example={
            "model": LOCAL_MODEL,
            "messages": [{"role": "user", "content": "How many days of leave do I have?"}],
            "previous": True,
        },
    ),
)
