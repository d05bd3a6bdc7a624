"""`fill`: many documents in a library, without the time to publish them one by one; the first ones are published.
`fill_hours`: the figures of two hours."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import cast

from kvproxy.core import Caller, DocumentRef, Span, Visibility
from kvproxy.core.miss_causes import MissCause
from kvproxy.documents.library.document import Document, TokenizedDocument, etag_of
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.publish import Publisher
from kvproxy.server.auth import Keyring
from kvproxy.telemetry.usage.ended_request import EndedRequest
from kvproxy.telemetry.usage.usage_book import UsageBook

PUBLISHED = 60
"""Documents that are published, so that they have pages. Their ids come first in every list."""
_READ = 0.5
"""The part of the others that was read."""
_SIZES = [tuple(range(64 + 32 * size)) for size in range(64)]
_WORDS = "leave travel safety wages pension housing grants archive contract manual handbook policy".split()
_TEXT = "Every page of document {} has the same rules, which everyone shall follow. "


def published_text(number: int) -> str:
    """Return the text of one of the published documents, of some thousand tokens.

    Example: ``published_text(3).startswith("Every page of document 3 ")``
    """
    return _TEXT.format(number) * 70


async def fill(publisher: Publisher, documents: int, visibility: str, keyring: Keyring) -> None:
    """Make documents of the tenant ``owner`` known, half of them read, and 30 more that are the reader's own.

    Example: ``await fill(publisher, 100_000, "private", keyring)``
    """
    draw = random.Random(0)
    callers = {caller.name: caller for caller in keyring.configured}
    owner, seen = callers["owner"], cast(Visibility, visibility)
    for number in range(PUBLISHED):
        await publisher.publish(f"a/published-{number:02}", published_text(number), seen, owner)
    for number in range(documents):
        _add(publisher, number, draw, owner, seen)
    for number in range(min(documents, 30)):
        _add(publisher, documents + number, draw, callers["reader"], "private")


def fill_hours(usage: UsageBook, tenants: Iterable[str], model: str) -> None:
    """Count a request of each tenant every other second of the last two hours: the charts are full.

    Example: ``fill_hours(usage, ["owner"], "fake")``
    """
    draw, now = random.Random(0), time.time()
    causes = [cause.value for cause in MissCause]
    for ago in range(7200, 0, -2):
        for tenant in tenants:
            hit = draw.random() < 0.6
            usage.note(
                EndedRequest(
                    id=f"req_{ago:032}",
                    tenant=tenant,
                    at=now - ago,
                    model=model,
                    hit=hit,
                    cause=None if hit else draw.choice(causes),
                    prompt_tokens=1500,
                    cached_tokens=1400 * hit,
                    ttft_s=draw.lognormvariate(-2.0 if hit else 0.0, 1.0),
                )
            )


def _add(
    publisher: Publisher, number: int, draw: random.Random, owner: Caller, visibility: Visibility
) -> None:
    id, text = f"{draw.choice(_WORDS)}/{draw.choice(_WORDS)}-{number:06}", f"Document {number}."
    created = 1_700_000_000 + draw.randrange(10**6)
    document = Document(id, 1, text, etag_of(text), visibility, owner.scope, created)
    tokenized = TokenizedDocument(text, text, draw.choice(_SIZES), (), 0, 0, 0)
    publisher.library.add(KnownDocument(document, tokenized, ()))
    if draw.random() < _READ:
        for _ in range(draw.randrange(1, 5)):
            read(publisher, document.ref)


def read(publisher: Publisher, ref: DocumentRef) -> None:
    """Count a read of a document."""
    publisher.reads.note([Span(ref, 0, 64)], 64)
