"""Published documents in front of an agent's instructions.

The packages for agents are installed each by itself, so each has this file: it is the same in all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ._client import KVProxyClient


def documents_first(
    instructions: str, documents: str | Iterable[str], client: KVProxyClient | None = None
) -> str:
    """Put published documents in front of instructions, so that their KV is used again by every agent that has them.

    The proxy knows a document by its text at the head of the system message: that is what an agent's instructions
    become. Documents stand in one order, each once, in whatever order they are named.

    Args:
        instructions: What the agent is to do; it follows the documents.
        documents: Names like ``handbook``, or ``handbook@3`` for one version.
        client: Of the proxy that has them; default: what KVPROXY_BASE_URL and KVPROXY_API_KEY say. A text is
            transferred again only when it has changed, so this may be called for every run.

    Raises DocumentUnknown, KVProxyError.
    """
    proxy = client or KVProxyClient()
    names = sorted({documents} if isinstance(documents, str) else set(documents))
    return "\n\n".join([*(proxy.text(name) for name in names), instructions])


async def adocuments_first(
    instructions: str, documents: str | Iterable[str], client: KVProxyClient | None = None
) -> str:
    names = documents if isinstance(documents, str) else list(documents)
    return await asyncio.to_thread(documents_first, instructions, names, client)
