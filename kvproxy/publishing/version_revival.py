"""`revive_version`: a version that had expired, visible again."""

from __future__ import annotations

import asyncio

from kvproxy.documents.library.document import Document
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.publishing.publishing_parts import PublishingParts
from kvproxy.runtime.run_to_completion import run_to_completion


async def revive_version(parts: PublishingParts, document: Document) -> None:
    """Make a version visible again that had expired, its pages computed anew. Raises as ``LocalBackend.keep`` does.

    Example:
        ``await revive_version(parts, document)``
    """
    prepared = await asyncio.to_thread(parts.preparer.prepare, document.id, document.text)
    framings = await parts.pages.keep_all(document, prepared.prefixes, None)

    async def appear() -> None:
        await asyncio.to_thread(parts.registry.replace_kept, document.ref, framings, parts.fingerprint)
        holding = DocumentHolding(document.scope, framings, document.owner_scope)
        parts.holdings.put(document.ref, holding)
        parts.library.add(prepared.known(document))

    await run_to_completion(appear())
