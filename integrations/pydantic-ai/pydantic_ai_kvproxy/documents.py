"""`documents_first`: puts published documents in front of an agent's instructions.

The packages for agents are installed separately, so each has this file: it is the same in all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ._client import KVProxyClient


def documents_first(
    instructions: str, documents: str | Iterable[str], client: KVProxyClient | None = None
) -> str:
    """Put published documents in front of instructions, so that every agent with these documents reuses their KV.

    The proxy recognises a document by its text at the head of the system message, and an agent's instructions become
    the system message. Documents stand in one order, each once, for any order of their names.

    Args:
        instructions: The agent's task; it follows the documents.
        documents: Names like ``handbook``, or ``handbook@3`` for one version.
        client: Of the documents' proxy; default: that of KVPROXY_BASE_URL and KVPROXY_API_KEY. A text is
            transferred again only when it has changed, so this may be called for every run.

    Raises: DocumentUnknown, KVProxyError.

    Example: ``documents_first("Be brief.", ["handbook", "travel@3"], KVProxyClient())``
    """
    proxy = client or KVProxyClient()
    names = sorted({documents} if isinstance(documents, str) else set(documents))
    return "\n\n".join([*(proxy.text(name) for name in names), instructions])


async def adocuments_first(
    instructions: str, documents: str | Iterable[str], client: KVProxyClient | None = None
) -> str:
    """Do the same as ``documents_first``, asynchronously.

    Example: ``await adocuments_first("Be brief.", "handbook", provider.documents)``
    """
    names = documents if isinstance(documents, str) else list(documents)
    return await asyncio.to_thread(documents_first, instructions, names, client)
