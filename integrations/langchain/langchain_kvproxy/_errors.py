"""Exceptions of this package's requests to a proxy.

::

    KVProxyError
    ├─ ProxyUnreachable     no proxy answers at the address, or the connection broke
    └─ ProxyRefused         the proxy answered with an error: ``status`` and ``code`` say which
       ├─ DocumentUnknown   no document has this name, or none that this key may read
       └─ PaymentRequiredError   the balance does not cover a request; it has the quote (`_topups`)

A chat model's own requests raise openai's exceptions instead, as in every LangChain model of that family, but for 402.
"""

from __future__ import annotations


class KVProxyError(Exception):
    """Base of all errors of this package's own requests."""


class ProxyUnreachable(KVProxyError):
    """No proxy answers at the address, or the connection broke."""


class ProxyRefused(KVProxyError):
    """The proxy answered with an error.

    Attributes:
        status: The HTTP status.
        code: The proxy's own name of the error, such as `invalid_api_key`, where it sent one.

    Example:
        `ProxyRefused("unknown key", status=401, code="invalid_api_key")`
    """

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class DocumentUnknown(ProxyRefused):
    """No document has this name, or none that this key may read."""


def start_one(root: str) -> str:
    """Return the advice for a ``root`` at which no proxy answers."""
    return (
        f"no kvproxy answers at {root}; start one with `kvproxy serve`, or set KVPROXY_BASE_URL "
        "(or base_url) to where it runs"
    )


def too_slow(root: str) -> str:
    """Return the advice for a timeout at ``root``."""
    return f"the proxy at {root} was too slow; give a longer timeout, or look at its load"
