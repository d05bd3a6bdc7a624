"""Types of the answers of ``/kv/v1/documents/{document}/terms``."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.market.quote_types import MoneyBody


class TermsBody(TypedDict):
    """Terms of a document from ``valid_from_ms`` on (Unix milliseconds), until the next ones begin.

    ``per_1000`` is the amount of kind ``fixed``, ``share`` the part of kind ``share``.
    """

    id: str
    kind: Literal["free", "share", "fixed"]
    share: str | None
    per_1000: MoneyBody | None
    publisher_share: str
    text_readers: Literal["discount", "full_price"]
    valid_from_ms: int


class KvTerms(TypedDict):
    """The terms of all versions of a document. ``current`` is null where its publisher has set none: then the host's
    count. ``history`` has all that its publisher has set, the earliest first."""

    object: Literal["kv_terms"]
    document: str
    publisher: str
    current: TermsBody | None
    history: list[TermsBody]
