"""What can go wrong between this package and a proxy.

::

    KVProxyError
    ├─ ProxyUnreachable     nothing answers there, or the connection broke
    └─ ProxyRefused         it answered with an error: ``status`` and ``code`` say which
       └─ DocumentUnknown   no such document, or none that this key may read

A chat model's own requests raise openai's exceptions instead, as in every LangChain model of that family.
"""

from __future__ import annotations


class KVProxyError(Exception):
    """Base of all errors of this package's own requests."""


class ProxyUnreachable(KVProxyError):
    """Nothing answers there, or the connection broke."""


class ProxyRefused(KVProxyError):
    """The proxy answered with an error.

    Attributes:
        status: The HTTP status.
        code: The proxy's own name of the error, such as `invalid_api_key`, where it sent one.
    """

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class DocumentUnknown(ProxyRefused):
    """No such document, or none that this key may read."""


def start_one(root: str) -> str:
    """What to do when nothing answers at ``root``."""
    return (
        f"no kvproxy answers at {root}; start one with `kvproxy serve`, or set KVPROXY_BASE_URL "
        "(or base_url) to where it runs"
    )


def too_slow(root: str) -> str:
    return f"the proxy at {root} was too slow; give a longer timeout, or look at its load"
