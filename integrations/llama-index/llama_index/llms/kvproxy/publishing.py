"""Publishes nodes to the proxy, and reads published documents back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from llama_index.core.schema import Document

from ._client import KVProxyClient
from .documents import NodeLike, canonical, document_id, text_of


@dataclass(frozen=True, slots=True)
class Published:
    """A published text: ``reference`` is ``id@version``, ``created`` false where it was published before."""

    reference: str
    tokens: int
    created: bool


def publish_nodes(
    nodes: Iterable[NodeLike], client: KVProxyClient | None = None, *, visibility: str | None = None
) -> list[Published]:
    """Publish nodes or documents, each under its ``document_id``, as ``CanonicalOrder`` sends them.

    In canonical order, each text once; one that is published already costs one request. Raises KVProxyError.

    Example: ``publish_nodes(nodes, KVProxyClient(), visibility="private")[0].reference``
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
    """Do the same as ``publish_nodes``, asynchronously.

    Example: ``await apublish_nodes(nodes, llm.documents, visibility="private")``
    """
    return await asyncio.to_thread(publish_nodes, list(nodes), client, visibility=visibility)


def published_documents(references: Iterable[str], client: KVProxyClient | None = None) -> list[Document]:
    """Read documents of the proxy by their names (``handbook``, ``handbook@3``).

    Raises DocumentUnknown, KVProxyError.
    """
    proxy = client or KVProxyClient()
    return [Document(id_=reference.partition("@")[0], text=proxy.text(reference)) for reference in references]
