"""Nodes and documents to the proxy and back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from llama_index.core.schema import Document

from ._client import KVProxyClient
from .documents import NodeLike, canonical, document_id, text_of


@dataclass(frozen=True, slots=True)
class Published:
    """A text that the proxy keeps: ``reference`` is ``id@version``, ``created`` false where it was kept before."""

    reference: str
    tokens: int
    created: bool


def publish_nodes(
    nodes: Iterable[NodeLike], client: KVProxyClient | None = None, *, visibility: str | None = None
) -> list[Published]:
    """Publish nodes or documents, each under its ``document_id``, as ``CanonicalOrder`` sends them.

    In canonical order, each text once; what the proxy has already costs one request. Raises KVProxyError.
    """
    proxy = client or KVProxyClient()
    found = []
    for node in canonical(nodes):
        result = proxy.publish(document_id(node), text_of(node), visibility=visibility)
        info = result["info"]
        found.append(
            Published(f"{info['id']}@{info['version']}", int(info["tokens"]), bool(result["created"]))
        )
    return found


async def apublish_nodes(
    nodes: Iterable[NodeLike], client: KVProxyClient | None = None, *, visibility: str | None = None
) -> list[Published]:
    return await asyncio.to_thread(publish_nodes, list(nodes), client, visibility=visibility)


def published_documents(references: Iterable[str], client: KVProxyClient | None = None) -> list[Document]:
    """Documents of the proxy by their names (``handbook``, ``handbook@3``). Raises DocumentUnknown, KVProxyError."""
    proxy = client or KVProxyClient()
    return [Document(id_=reference.partition("@")[0], text=proxy.text(reference)) for reference in references]
