"""LangChain for kvproxy: documents at the front of the prompt, cached tokens in the metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_kvproxy._client import KVProxyClient
from langchain_kvproxy._digest import text_digest
from langchain_kvproxy._document_recognition import DocumentReport
from langchain_kvproxy._errors import DocumentUnknown, KVProxyError, ProxyRefused, ProxyUnreachable
from langchain_kvproxy._finding import Finding
from langchain_kvproxy._topups import PaymentRequiredError, TopupChallenge
from langchain_kvproxy.callbacks import KVProxyUsageHandler
from langchain_kvproxy.chat_models import ChatKVProxy
from langchain_kvproxy.documents import (
    KVPROXY_DOCUMENT,
    KVPROXY_ORDER,
    KVPROXY_TOKENS,
    KVPROXY_VERSION,
    as_part,
    canonical,
    document_id,
    seam_safe,
)
from langchain_kvproxy.explain import Explanation, aexplain_prompt, explain_prompt
from langchain_kvproxy.loading import PublishCounts, apublish_documents, publish_documents
from langchain_kvproxy.prompts import DocumentLayout, document_parts, document_prompt, place_documents
from langchain_kvproxy.providers import register_provider
from langchain_kvproxy.retrievers import KVProxyRetriever
from langchain_kvproxy.tools import create_document_tool

if TYPE_CHECKING:
    from langchain_kvproxy.middleware import KVDocumentsMiddleware

__all__ = [
    "KVPROXY_DOCUMENT",
    "KVPROXY_ORDER",
    "KVPROXY_TOKENS",
    "KVPROXY_VERSION",
    "ChatKVProxy",
    "DocumentLayout",
    "DocumentReport",
    "DocumentUnknown",
    "Explanation",
    "Finding",
    "KVDocumentsMiddleware",
    "KVProxyClient",
    "KVProxyError",
    "KVProxyRetriever",
    "KVProxyUsageHandler",
    "PaymentRequiredError",
    "ProxyRefused",
    "ProxyUnreachable",
    "PublishCounts",
    "TopupChallenge",
    "aexplain_prompt",
    "apublish_documents",
    "as_part",
    "canonical",
    "create_document_tool",
    "document_id",
    "document_parts",
    "document_prompt",
    "explain_prompt",
    "place_documents",
    "publish_documents",
    "register_provider",
    "seam_safe",
    "text_digest",
]


def __getattr__(name: str) -> Any:
    """Import `KVDocumentsMiddleware` on first use: it needs langchain's agents, an extra; everything else does not."""
    if name == "KVDocumentsMiddleware":
        from langchain_kvproxy.middleware import KVDocumentsMiddleware

        return KVDocumentsMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
