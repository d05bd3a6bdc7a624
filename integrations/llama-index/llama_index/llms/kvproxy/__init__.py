"""LlamaIndex for kvproxy: documents at the front of the prompt in one order, cached tokens in the answer."""

from ._client import DocumentUnknown, KVProxyClient, KVProxyError, ProxyRefused, ProxyUnreachable
from .base import KVProxy
from .documents import canonical, document_id
from .postprocessor import CanonicalOrder
from .prompts import context_template, document_messages, qa_template, system_message
from .publishing import Published, apublish_nodes, publish_nodes, published_documents
from .usage import KVProxyUsage

__all__ = [
    "CanonicalOrder",
    "DocumentUnknown",
    "KVProxy",
    "KVProxyClient",
    "KVProxyError",
    "KVProxyUsage",
    "ProxyRefused",
    "ProxyUnreachable",
    "Published",
    "apublish_nodes",
    "canonical",
    "context_template",
    "document_id",
    "document_messages",
    "publish_nodes",
    "published_documents",
    "qa_template",
    "system_message",
]
