"""kvproxy: an OpenAI-compatible proxy that makes a document cost its prefill once.

The public Python API: `Client` for a running proxy, `RequestFailed` and the errors that its ``kind`` names::

    from kvproxy import Client

    with Client("http://127.0.0.1:8321") as client:
        client.publish("handbook", text)
        print(client.ask("How many days of leave do I have?", ["handbook"]).text)

Names are imported at their first use, so that ``import kvproxy`` and the command line start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvproxy.client import Client, DocumentAnswer, RequestFailed
    from kvproxy.errors import (
        AccountNotFound,
        AlreadyUsed,
        AuthenticationFailed,
        BodyTooLarge,
        CannotFit,
        ContextTooLong,
        DocumentExpired,
        DocumentNotFound,
        DocumentQuotaExceeded,
        DocumentRejected,
        DocumentRevoked,
        ExpectationFailed,
        Gone,
        HeadTooLarge,
        InvalidRequest,
        KVProxyError,
        MethodNotAllowed,
        ModelNotFound,
        NotFound,
        NotReady,
        OriginRefused,
        Overloaded,
        PaymentRequired,
        PermissionDenied,
        PreconditionFailed,
        PreviousResponseNotFound,
        QuotaExceeded,
        ReceiptNotFound,
        ResponseNotFound,
        Retryable,
        RouteNotFound,
        ShuttingDown,
        SignatureRefused,
        StorageFull,
        TimedOut,
        TooManyLogins,
        TooManyViews,
        Unavailable,
        UnreadableBody,
        UnsupportedEncoding,
        UnsupportedParameter,
        UnsupportedSchema,
        UnsupportedThread,
        UpstreamError,
    )

__version__ = "0.2.0"

__all__ = [
    "AccountNotFound",
    "AlreadyUsed",
    "AuthenticationFailed",
    "BodyTooLarge",
    "CannotFit",
    "Client",
    "ContextTooLong",
    "DocumentAnswer",
    "DocumentExpired",
    "DocumentNotFound",
    "DocumentQuotaExceeded",
    "DocumentRejected",
    "DocumentRevoked",
    "ExpectationFailed",
    "Gone",
    "HeadTooLarge",
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
    "RequestFailed",
    "ResponseNotFound",
    "Retryable",
    "RouteNotFound",
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
    "__version__",
]

_CLIENT = frozenset(("Client", "DocumentAnswer", "RequestFailed"))


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'kvproxy' has no attribute {name!r}")
    value = getattr(import_module("kvproxy.client" if name in _CLIENT else "kvproxy.errors"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
