"""Refused imports, which leave nothing behind."""

from __future__ import annotations

import pytest

from kvproxy.backends.base import Generation
from kvproxy.core import DocumentRef, Prompt, Sampling
from kvproxy.document_files.document_import import ImportWish
from kvproxy.errors import DocumentRejected, KVProxyError, SignatureRefused
from kvproxy.events import Started, TextDelta
from tests.document_files.hosts import (
    BOB,
    Exported,
    Host,
    nothing_is_left,
)

PRIVATE = ImportWish(visibility="private")
REQUIRED = ImportWish(visibility="private", pages="required")


async def refused(host: Host, file: bytes, exported: Exported, wish: ImportWish = REQUIRED) -> str:
    """The reason why a file is refused, which leaves nothing behind."""
    with pytest.raises(KVProxyError) as caught:
        await host.take(file, exported.trusted, wish=wish)
    assert isinstance(caught.value, DocumentRejected | SignatureRefused), caught.value
    nothing_is_left(host)
    return caught.value.message


async def read(host: Host, token_ids: tuple[int, ...]) -> tuple[int, str]:
    """The cached tokens of a question behind these tokens, and the answer."""
    generation = Generation("q", Prompt((*token_ids, 5, 6, 7)), Sampling(temperature=0.0, max_tokens=8), BOB)
    cached, text = 0, ""
    async for event in host.local.generate(generation):
        if isinstance(event, Started):
            cached = event.cached_tokens
        if isinstance(event, TextDelta):
            text += event.text
    return cached, text


def prefix(host: Host) -> tuple[int, ...]:
    """The tokens of the imported handbook's first framing."""
    return host.publisher.holding(DocumentRef("handbook", 1, BOB.scope)).framings[0].kept.token_ids
