"""Every error the proxy shows, in one tree, each with its HTTP status.

::

    KVProxyError                      500  server_error
    ├─ InvalidRequest                 400  invalid_request_error
    │  ├─ ContextTooLong              400  context_length_exceeded
    │  ├─ UnsupportedParameter        400  unsupported_parameter
    │  │  └─ UnsupportedThread        400  thread_unsupported_request
    │  ├─ UnsupportedSchema           400  unsupported_schema
    │  ├─ CannotFit                   400  page_budget_exceeded
    │  ├─ PreviousResponseNotFound    400  previous_response_not_found
    │  ├─ UnreadableBody              400  unreadable_body
    │  ├─ UnsupportedEncoding         415  unsupported_encoding
    │  ├─ ExpectationFailed           417  expectation_failed
    │  ├─ HeadTooLarge                431  request_head_too_large
    │  └─ DocumentRejected            400  document_rejected
    ├─ AuthenticationFailed           401  invalid_api_key
    ├─ PaymentRequired                402  payment_required
    ├─ PermissionDenied               403  permission_denied
    │  ├─ DocumentQuotaExceeded       403  document_quota_exceeded
    │  ├─ OriginRefused               403  origin_refused
    │  └─ SignatureRefused            403  signature_refused
    ├─ NotFound                       404
    │  ├─ AccountNotFound             404  account_not_found
    │  ├─ ModelNotFound               404  model_not_found
    │  ├─ DocumentNotFound            404  document_not_found
    │  ├─ ResponseNotFound            404  response_not_found
    │  ├─ ReceiptNotFound             404  receipt_not_found
    │  └─ RouteNotFound               404  unknown_url
    ├─ MethodNotAllowed               405  method_not_allowed
    ├─ AlreadyUsed                    409  already_used
    ├─ Gone                           410
    │  ├─ DocumentExpired             410  document_expired
    │  └─ DocumentRevoked             410  document_revoked
    ├─ PreconditionFailed             412  precondition_failed
    ├─ BodyTooLarge                   413  request_too_large
    ├─ Overloaded                     429  engine_busy         Retry-After
    ├─ QuotaExceeded                  429  insufficient_quota  Retry-After
    ├─ TooManyLogins                  429  too_many_logins     Retry-After
    ├─ TooManyViews                   429  too_many_views      Retry-After
    ├─ TimedOut                       504  timeout
    ├─ Unavailable                    503                      Retry-After
    │  ├─ ShuttingDown                503  shutting_down
    │  ├─ NotReady                    503  not_ready
    │  └─ StorageFull                 503  storage_full
    ├─ UpstreamError                  (the upstream's own status)
    ├─ HitLost                        never shown: the hit path turns it into a miss
    └─ SetupError                     never over HTTP: one sentence on the command line

``server/middleware/error_responses.py`` is the only place that turns them into responses.
"""

from kvproxy.errors.document_errors import (
    DocumentExpired,
    DocumentNotFound,
    DocumentQuotaExceeded,
    DocumentRejected,
    DocumentRevoked,
    Gone,
    PreconditionFailed,
)
from kvproxy.errors.error_base import (
    MOST_TOLD,
    KVProxyError,
    Retryable,
    cut,
)
from kvproxy.errors.request_errors import (
    AccountNotFound,
    AlreadyUsed,
    AuthenticationFailed,
    BodyTooLarge,
    CannotFit,
    ContextTooLong,
    ExpectationFailed,
    HeadTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    OriginRefused,
    PaymentRequired,
    PermissionDenied,
    PreviousResponseNotFound,
    QuotaExceeded,
    ReceiptNotFound,
    ResponseNotFound,
    RouteNotFound,
    SignatureRefused,
    UnreadableBody,
    UnsupportedEncoding,
    UnsupportedParameter,
    UnsupportedSchema,
    UnsupportedThread,
)
from kvproxy.errors.service_errors import (
    HitLost,
    NotReady,
    Overloaded,
    SetupError,
    ShuttingDown,
    StorageFull,
    TimedOut,
    TooManyLogins,
    TooManyViews,
    Unavailable,
    UpstreamError,
)

__all__ = [
    "MOST_TOLD",
    "AccountNotFound",
    "AlreadyUsed",
    "AuthenticationFailed",
    "BodyTooLarge",
    "CannotFit",
    "ContextTooLong",
    "DocumentExpired",
    "DocumentNotFound",
    "DocumentQuotaExceeded",
    "DocumentRejected",
    "DocumentRevoked",
    "ExpectationFailed",
    "Gone",
    "HeadTooLarge",
    "HitLost",
    "InvalidRequest",
    "KVProxyError",
    "MethodNotAllowed",
    "ModelNotFound",
    "NotFound",
    "NotReady",
    "OriginRefused",
    "Overloaded",
    "PaymentRequired",
    "PermissionDenied",
    "PreconditionFailed",
    "PreviousResponseNotFound",
    "QuotaExceeded",
    "ReceiptNotFound",
    "ResponseNotFound",
    "Retryable",
    "RouteNotFound",
    "SetupError",
    "ShuttingDown",
    "SignatureRefused",
    "StorageFull",
    "TimedOut",
    "TooManyLogins",
    "TooManyViews",
    "Unavailable",
    "UnreadableBody",
    "UnsupportedEncoding",
    "UnsupportedParameter",
    "UnsupportedSchema",
    "UnsupportedThread",
    "UpstreamError",
    "cut",
]
