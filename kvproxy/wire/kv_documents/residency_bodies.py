"""Answers of pinning, unpinning and warming a document."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.kv_documents.document_types import PublishProgress
from kvproxy.wire.service.service_types import OpenAIError


class FramingPinBody(TypedDict):
    """The pins of one framing, in pages: the first ``pinned`` of ``asked``.

    ``limit`` is the reason why not all: ``tenant-budget`` (documents.pin_share), ``pin-budget`` (half of
    engine.page_budget, for all tenants), ``busy`` (requests that run have the memory); null where all are.
    """

    framing: str
    asked: int
    pinned: int
    limit: str | None


class KvPin(TypedDict):
    """The pins of a document version, in pages. Pages that framings share count once in the sums.

    ``room``: pages that this tenant may still pin, of the ``budget`` that it may pin in all.
    """

    object: Literal["kv_pin"]
    document: str
    asked: int
    pinned: int
    limit: str | None
    room: int
    budget: int
    framings: list[FramingPinBody]


class FramingWarmthBody(TypedDict):
    """One framing in tokens: in memory before and after, loaded from disk, computed."""

    framing: str
    tokens: int
    before: int
    after: int
    loaded: int
    computed: int


class KvWarm(TypedDict):
    """The result of warming a document version, in tokens over all framings."""

    object: Literal["kv_warm"]
    document: str
    before: int
    after: int
    loaded: int
    computed: int
    seconds: float
    framings: list[FramingWarmthBody]


WarmEvent = PublishProgress | KvWarm | OpenAIError
"""Of the events ``progress``, ``result`` and ``error``."""
