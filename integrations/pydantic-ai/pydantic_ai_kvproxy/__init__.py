"""Pydantic AI for kvproxy: a provider, and published documents in front of the instructions."""

from ._client import DocumentUnknown, KVProxyClient, KVProxyError, ProxyRefused, ProxyUnreachable
from .documents import adocuments_first, documents_first
from .provider import KVProxyProvider

__all__ = [
    "DocumentUnknown",
    "KVProxyClient",
    "KVProxyError",
    "KVProxyProvider",
    "ProxyRefused",
    "ProxyUnreachable",
    "adocuments_first",
    "documents_first",
]
